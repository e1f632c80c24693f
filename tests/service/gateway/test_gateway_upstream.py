"""What a client is told when the model's server fails, and what the gateway never does for it."""

import json
import time
from collections.abc import Iterator

import openai
import pytest
from running import Filter, Place, free, opened, policy, stubbed
from stub import Stub

from unteach.service.gateway.upstream import Upstream


@pytest.fixture(scope="module")
def place(stub: Stub) -> Iterator[Place]:
    with stubbed(stub) as url, opened(Upstream(url, key="upstream-key", patience=1.0), policy(Filter())) as found:
        yield found


@pytest.mark.parametrize(
    ("status", "told"),
    [(400, 400), (401, 502), (403, 502), (404, 404), (413, 413), (418, 502), (422, 422), (429, 429), (500, 502),
     (503, 503), (504, 504), (301, 502), (307, 502), (204, 502)],
)  # fmt: skip
def test_a_failure_is_told_without_the_words_of_the_upstream(stub: Stub, place: Place, status: int, told: int) -> None:
    stub.failure = status
    try:
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError) as failed:
                place("x", stream=stream)
            assert failed.value.status_code == told
            assert "canary" not in str(failed.value.body)
            assert (failed.value.response.headers.get("Retry-After") == "7") == (status == 429)
    finally:
        stub.failure = 0


@pytest.mark.parametrize(
    "raw",
    [
        b"no JSON", b"{}", b"[]", b"null", b'{"choices": []}', b'{"choices": [{"message": {"content": 5}}]}',
        b'{"choices": [{"message": null}]}', b"data: {\n\n", b'data: {"choices": 5}\n\n', b'data: {"error": "canary"}\n\n',
        b"data: [DONE]\n\n", b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n', b"\xff\xfe\x00", b'data: "x"\n\n',
    ],
)  # fmt: skip
def test_a_reply_that_is_none_is_a_failure(stub: Stub, place: Place, raw: bytes) -> None:
    stub.raw = raw
    try:
        with pytest.raises(openai.APIStatusError) as failed:
            place("x")
        assert failed.value.status_code == 502
        with pytest.raises(openai.APIError):
            list(place("x", stream=True))
    finally:
        stub.raw = b""


def test_a_stream_in_odd_parts_is_read_all_the_same(stub: Stub, place: Place) -> None:
    events = [{"choices": [{"delta": {"content": text}, "finish_reason": None}]} for text in ("gré", "en ", "mill")]
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    lines = [f"data:{json.dumps(e, ensure_ascii=False)}\r\n\r\n" for e in (*events, end)]
    stub.raw = (": a comment\n\nevent: message\n" + "".join(lines) + "data: [DONE]\n\n").encode()
    try:
        chunks = list(place("x", stream=True))
    finally:
        stub.raw = b""
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "gréen mill"


def test_the_upstream_gets_its_own_key_and_not_the_clients(stub: Stub, place: Place) -> None:
    place("x")
    assert stub.keys[-1] == "Bearer upstream-key"


def test_a_server_that_is_silent_or_not_there(stub: Stub, place: Place) -> None:
    stub.pause = 3.0
    try:
        began = time.monotonic()
        with pytest.raises(openai.APIStatusError) as late:
            place("x")
        assert (late.value.status_code, time.monotonic() - began < 2.5) == (504, True)
    finally:
        stub.pause = 0.0
    with opened(f"http://127.0.0.1:{free()}/v1") as nowhere:
        with pytest.raises(openai.APIStatusError) as lost:
            nowhere("x")
        assert lost.value.status_code == 502


def test_an_answer_that_takes_too_long_is_ended() -> None:
    slow = Stub(pause=0.05, says=lambda _asked: ["word "] * 100)
    with stubbed(slow) as url, opened(url, answer_seconds=0.3) as place:
        with pytest.raises(openai.APIStatusError) as late:
            place("x")
        assert (late.value.status_code, late.value.code) == (504, "timeout")
        with pytest.raises(openai.APIError, match="longer"):
            list(place("x", stream=True))


def test_only_the_model_that_was_named_is_asked(stub: Stub) -> None:
    with stubbed(stub) as url, opened(Upstream(url, name="stub")) as place:
        assert [m.id for m in place.client.models.list()] == ["stub"]
        with pytest.raises(openai.NotFoundError):
            place.client.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
