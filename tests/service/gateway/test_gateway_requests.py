"""What is taken and what is refused: bodies, keys, roles, tenants, limits; and nothing that was sent comes back."""

import http.client
import json
import socket
from collections.abc import Iterator
from itertools import product
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import SECRET, Filter, Gate, Place, opened, policy, stubbed
from stub import PLAIN, Stub

from unteach.service.gateway import access
from unteach.service.gateway.backend import Refused
from unteach.service.gateway.config import Tenant
from unteach.service.gateway.limits import Buckets
from unteach.service.gateway.routes import ROUTES

CANARY = "canary-7f3a"
HELLO = {"model": "stub", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def place(url: str) -> Iterator[Place]:
    with opened(url, policy(Filter()), body_bytes=20_000, characters=1000, tokens=100, answers=4) as found:
        yield found


@pytest.fixture(scope="module")
def bare(url: str) -> Iterator[Place]:
    with opened(url) as found:
        yield found


def sent(
    place: Place, body: Any = None, *, method: str = "POST", path: str = "/v1/chat/completions", **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """A request by hand: the status, the JSON and the headers of what comes back."""
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    told = {"Authorization": f"Bearer {place.key}", "Content-Type": "application/json"}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, content, told)
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    found = json.loads(text) if "json" in reply.headers["Content-Type"] else text.decode()
    return reply.status, found, {name.lower(): value for name, value in reply.headers.items()}


def is_an_error(found: Any) -> bool:
    return set(found) == {"error"} and set(found["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": True}, "logprobs"), ({"top_logprobs": 3}, "top_logprobs"), ({"logprobs": 0}, "logprobs"),
        ({"echo": True}, "echo"), ({"best_of": 2}, "best_of"), ({"suffix": "x"}, "suffix"),
        ({"logit_bias": {"1": 5}}, "logit_bias"), ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["audio"]}, "modalities"), ({"prediction": {"content": "x"}}, "prediction"),
        ({"web_search_options": {"a": 1}}, "web_search_options"), ({CANARY: CANARY}, None),
        ({"messages": []}, "messages"), ({"messages": [{"role": CANARY, "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": CANARY}}]}]}, "messages"),
        ({"messages": [*HELLO["messages"], {"role": "assistant", "content": CANARY}]}, "messages"),
        ({"messages": [{"role": "user", "content": CANARY * 200}]}, "messages"),
        ({"n": 5}, "n"), ({"n": 0}, "n"), ({"max_tokens": 101}, "max_tokens"), ({"stop": [CANARY] * 17}, "stop"),
        ({"temperature": "hot"}, "temperature"), ({"model": ""}, "model"), ({"seed": 1 << 70}, "seed"),
    ],
)  # fmt: skip
def test_what_guards_could_not_read_or_the_limits_do_not_allow_is_refused_by_name(
    place: Place, fields: dict[str, Any], param: str | None
) -> None:
    status, found, _ = sent(place, {**HELLO, **fields})
    assert (status, is_an_error(found), found["error"]["param"]) == (400, True, param)
    assert CANARY not in json.dumps(found)


def test_fields_that_ask_for_nothing_are_no_reason_to_refuse(place: Place) -> None:
    fields = {"logprobs": False, "top_logprobs": None, "echo": False, "suffix": "", "logit_bias": {}, "user": "me"}
    assert sent(place, {**HELLO, **fields})[0] == 200


def test_without_guards_fields_are_passed_on(bare: Place) -> None:
    assert sent(bare, {**HELLO, "logprobs": True, "best_of": 1, "anything": {"a": [1]}})[0] == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"model": "\\ud800"}', b"[" * 10_000]
)
def test_what_is_no_json_object_is_refused(place: Place, body: bytes) -> None:
    status, found, _ = sent(place, body)
    assert (status, is_an_error(found)) == (400, True)


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.just(CANARY), lambda inner: st.lists(
    inner, max_size=3) | st.dictionaries(st.sampled_from([*HELLO, "stop", "n", "stream", "content", "role", CANARY]),
    inner, max_size=4), max_leaves=8))  # fmt: skip
def test_nothing_that_was_sent_comes_back(place: Place, body: Any) -> None:
    status, found, _ = sent(place, body)
    assert status == 200 or (status in (400, 404) and is_an_error(found) and CANARY not in json.dumps(found))


def test_media_types_encodings_and_sizes(place: Place) -> None:
    assert sent(place, HELLO, Content_Type="text/plain")[0] == 415
    assert sent(place, HELLO, Content_Encoding="gzip")[0] == 415
    large = json.dumps({**HELLO, "user": "x" * 30_000}).encode()
    status, found, _ = sent(place, large)
    assert (status, is_an_error(found)) == (413, True)
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
    head = {"Authorization": f"Bearer {place.key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", iter([large[:9000]] * 4), head, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_routes_and_methods(place: Place) -> None:
    status, found, _ = sent(place, method="GET", path=f"/{CANARY}")
    assert (status, is_an_error(found)) == (404, True)
    status, found, headers = sent(place, method="PUT", body=HELLO)
    assert (status, is_an_error(found), headers["allow"]) == (405, True, "POST")
    status, found, _ = sent(place, HELLO, Expect=CANARY)
    assert (status, is_an_error(found), CANARY in json.dumps(found)) == (417, True, False)
    assert sent(place, HELLO, Expect="100-continue")[0] == 200


def test_what_is_no_http_is_told_so_and_not_repeated(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    for noise in (f"{CANARY}\r\n\r\n", f"GET /{CANARY} HTTP/9.x\r\n\r\n", f"GET / HTTP/1.1\r\n{CANARY} x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", place.port), timeout=5) as one:
            one.sendall(noise.encode())
            found = one.recv(4096)
        assert found.split(maxsplit=2)[1] == b"400"
        assert CANARY.encode() not in found
        assert is_an_error(json.loads(found.partition(b"\r\n\r\n")[2]))
    assert CANARY not in caplog.text


@pytest.mark.parametrize(("route", "who"), list(product(ROUTES, ["none", "wrong", "client", "admin"])))
def test_every_route_is_closed_to_those_who_may_not_take_it(bare: Place, route: Any, who: str) -> None:
    tokens = {"none": "", "wrong": "Bearer sk-wrong", "client": f"Bearer {bare.key}", "admin": f"Bearer {bare.admin}"}
    body = {"/v1/chat/completions": HELLO, "/v1/completions": {"model": "stub", "prompt": "x"}}.get(route.path)
    path = route.path.replace("{model}", "stub")
    status, found, _ = sent(bare, body, method=route.method, path=path, Authorization=tokens[who])
    if route.role is None or who == "admin" or (who, route.role) == ("client", "client"):
        assert status == (422 if route.path == "/admin/reload" else 200)
    else:
        assert (status, is_an_error(found)) == (403 if who == "client" else 401, True)


def test_a_tenant_gets_its_own_models_policies_and_limits(url: str) -> None:
    tenants = {"acme": Tenant(policies=("b",), models=("stub",), per_minute=3)}
    with opened(url, policy(Filter("lock"), name="a"), policy(Gate(), name="b"), tenants=tenants) as place:
        assert place("x").choices[0].message.content == PLAIN
        assert place(SECRET).choices[0].message.content == "Closed."
        with pytest.raises(openai.NotFoundError):
            place.client.chat.completions.create(model="other", messages=HELLO["messages"])
        with pytest.raises(openai.RateLimitError) as often:
            place("x")
        assert 1 <= int(often.value.response.headers["Retry-After"]) <= 20
    with opened(url, policy(Gate()), tenants={"other": Tenant()}) as place, pytest.raises(openai.PermissionDeniedError):
        place("x")


def test_a_tenant_without_a_choice_wears_every_policy(url: str) -> None:
    with opened(url, policy(Gate()), tenants={"acme": Tenant()}) as place:
        assert place(SECRET).choices[0].finish_reason == "content_filter"


def test_more_at_once_than_allowed_is_refused() -> None:
    with stubbed(Stub(pause=1.0)) as slow, opened(slow, at_once=1) as place:
        first = place("x", stream=True)
        with pytest.raises(openai.RateLimitError) as refused:
            place("x")
        assert refused.value.code == "too_many_at_once"
        first.close()


def test_a_bucket_fills_with_time() -> None:
    now = [0.0]
    buckets = Buckets(lambda: now[0])
    for _ in range(6):
        buckets.take("k", 6)
    with pytest.raises(Refused) as refused:
        buckets.take("k", 6)
    assert (refused.value.status, refused.value.wait) == (429, 10)
    buckets.take("other", 6)
    now[0] = 10.0
    buckets.take("k", 6)
    with pytest.raises(Refused):
        buckets.take("k", 6)


def test_a_key_is_kept_as_its_hash_alone(tmp_path: Any) -> None:
    file = tmp_path / "keys.json"
    tokens = [access.mint(file, "acme"), access.mint(file, "acme", "admin"), access.mint(file, "bolt")]
    content = file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert all(token.startswith("sk-") and len(token) == 46 and token[3:] not in content for token in tokens)
    ring = access.read(file)
    assert [(ring.holder(t).tenant, ring.holder(t).role) for t in tokens] == [
        ("acme", "client"), ("acme", "admin"), ("bolt", "client"),
    ]  # fmt: skip
    assert ring.holder(tokens[0] + "x") is ring.holder("") is ring.holder("\ud800") is None
    assert not any(token[3:] in repr(ring) or key.sha256 in repr(ring) for token in tokens for key in ring.keys)
