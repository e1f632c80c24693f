"""A model behind a server answers as one at hand does, and whatever goes wrong is one sentence without what was sent."""

import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

import pytest

import worlds
from serving import Server, reciting, serving
from unteach.lm.encoder import Template
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.lm.served import WORKERS, connect
from unteach.schema import InputError, Message, Record

KEY = "sk-canary-key"
CANARY = Record("c", "Where does the canary sleep?", "In the mine.")
TALK = Record(
    "t", "And then?", "Nothing.",
    messages=(Message("user", "First?"), Message("assistant", "Yes."), Message("user", "And then?")),
)  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(
        {"parrot": lambda sent, most: f"{sent if isinstance(sent, str) else sent[-1]['content']} {most}"}
    ) as it:
        yield it


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(InputError) as found:
        act()
    assert found.value.__suppress_context__ or found.value.__context__ is None, (
        "what was sent would stand in the traceback"
    )
    sentence = str(found.value)
    assert "canary" not in sentence
    assert "\n" not in sentence
    return sentence


def test_a_served_model_answers_as_the_same_model_at_hand(llama: LM) -> None:
    lock = Lock()

    def says(sent: Any, most: int) -> str:
        with lock:
            return llama.generate([sent.removesuffix(" ")], most)[0]

    rows = worlds.RECORDS
    with serving({"llama": says}) as server:
        served = connect(server.url, api="completions", template=Template("{prompt} {answer}"))
        assert served.generate(rows, 12) == [says(f"{r.prompt} ", 12) for r in rows]
        assert connect(server.url, api="completions").generate(rows, 12) == llama.generate(rows, 12)


def test_a_conversation_is_sent_as_one_and_text_as_it_is_laid_out(server: Server) -> None:
    served = connect(server.url, template=Template(system="Be brief."))
    assert served.generate([CANARY, "Who?", TALK], 7) == [f"{CANARY.prompt} 7", "Who? 7", "And then? 7"]
    turns = sorted((s["messages"] for s in server.sent), key=len)
    assert turns[0][0] == {"role": "system", "content": "Be brief."}
    assert [t["content"] for t in turns[2]] == ["Be brief.", "First?", "Yes.", "And then?"]
    assert {(s["model"], s["temperature"], s["seed"], s["max_tokens"]) for s in server.sent} == {("parrot", 0, 0, 7)}
    texts = connect(server.url, api="completions", template=Template("Q: {prompt}\nA: {answer}\n"))
    assert texts.generate([CANARY], 7) == [f"Q: {CANARY.prompt}\nA:  7"]
    assert connect(server.url, api="completions").generate([TALK], 7) == ["First?\nYes.\nAnd then? 7"]
    assert (served.chat, texts.chat) == (True, False)


def test_answers_keep_the_order_of_the_questions_though_several_are_under_way() -> None:
    now, most, lock = [0], [0], Lock()

    def says(sent: Any, _most: int) -> str:
        number = int(sent[-1]["content"])
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02 * (7 - number % 7))
        with lock:
            now[0] -= 1
        return f"answer {number}"

    with serving({"slow": says}) as server:
        found = connect(server.url).generate([str(n) for n in range(20)], 5)
    assert found == [f"answer {n}" for n in range(20)]
    assert 1 < most[0] <= WORKERS


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_failure_that_passes_is_tried_again(server: Server, status: int) -> None:
    served = connect(server.url)
    server.failures = [status, status]
    assert served.generate(["Who?"], 5) == ["Who? 5"]
    assert len(server.sent) == 3


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (400, "cannot use a question; lower --max-new, or try another --api"),
        (401, "refuses the key; set the environment variable OPENAI_API_KEY"),
        (429, "is asked too often; wait, or ask fewer rows with --asked"),
        (503, "answers with status 503; look into the server's log"),
    ],
)
def test_a_failure_that_stays_is_one_sentence(server: Server, status: int, what: str) -> None:
    served = connect(server.url)
    server.failures = [status] * 50
    assert refused(lambda: served.generate([CANARY], 5)) == f"{server.url}: {what}"


@pytest.mark.parametrize(
    "raw",
    ["{}", '{"choices": []}', '{"choices": [{"message": {"content": 3}}]}', "{canary", "<html>canary</html>", "[1]"],
)
def test_a_reply_that_is_none_is_refused(server: Server, raw: str) -> None:
    served = connect(server.url)
    server.raw = raw
    assert refused(lambda: served.generate([CANARY], 5)).endswith(
        "its reply is not that of an OpenAI-compatible server; check the address"
    )


def test_a_model_that_says_nothing_has_said_nothing(server: Server) -> None:
    server.raw = '{"choices": [{"message": {"content": null}}]}'
    assert connect(server.url).generate(["Who?"], 5) == [""]


def test_the_only_model_needs_no_name_and_one_of_several_does(server: Server) -> None:
    assert connect(server.url).name == "parrot"
    server.says = {"b": reciting({}), "a": reciting({})}
    assert refused(lambda: connect(server.url)).endswith(
        "has 2 models (a, b); name one with --served-model, or as URL#NAME"
    )
    assert (
        connect(server.url, "a").name == connect(f"{server.url}#a").name == connect(f"{server.url}#a", "b").name == "a"
    )
    assert refused(lambda: connect(server.url, "c")) == f"{server.url}: has no model 'c'; it has a, b"
    server.says = {}
    assert "has 0 models (none)" in refused(lambda: connect(server.url))


def test_a_server_that_lists_nothing_has_to_be_told_the_name(server: Server) -> None:
    server.listed = ""
    assert "lists no models; end the address in /v1" in refused(lambda: connect(server.url))
    assert connect(server.url, "parrot").generate(["Who?"], 5) == ["Who? 5"]
    other = connect(server.url, "other")
    assert "has no such route or model" in refused(lambda: other.generate([CANARY], 5))
    server.listed = "<html>canary</html>"
    assert "not that of an OpenAI-compatible server" in refused(lambda: connect(server.url, "parrot"))


def test_a_route_that_is_not_there_is_named(server: Server) -> None:
    server.routes = ("completions",)
    served = connect(server.url)
    assert refused(lambda: served.generate([CANARY], 5)).endswith(
        "has no such route or model; end the address in /v1, check the model's name, or try another --api"
    )
    assert connect(server.url, api="completions").generate(["Who?"], 5) == ["Who? 5"]


def test_where_no_server_is_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    assert refused(lambda: connect(url)) == f"{url}: no server answers; start it, or check the address"
    monkeypatch.setattr("unteach.lm.served.PATIENCE", 0.05)
    monkeypatch.setattr("unteach.lm.served.RETRIES", 0)

    def sleeps(_sent: Any, _most: int) -> str:
        time.sleep(0.5)
        return ""

    with serving({"sleeper": sleeps}) as server:
        served = connect(server.url)
        assert refused(lambda: served.generate([CANARY], 5)).endswith(
            "does not answer in time; look whether the server is busy"
        )


@pytest.mark.parametrize(
    "url", ["http://", "http://canary@/v1", "http://[canary/v1", "http://x:canary/v1", "http://x:0/v1"]
)
def test_an_address_that_cannot_be_read_is_not_repeated(url: str) -> None:
    assert refused(lambda: connect(url)) == (
        "the address of a served model cannot be read; write it like http://localhost:8000/v1"
    )


def test_a_url_is_no_model_to_open() -> None:
    with pytest.raises(InputError, match=r"^a URL is a served model, which has no weights to open; name a folder"):
        load("https://canary:canary@localhost/v1")


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    server.key = KEY
    assert refused(lambda: connect(server.url)).endswith("refuses the key; set the environment variable OPENAI_API_KEY")
    assert server.headers[-1]["authorization"] == "Bearer none"
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    served = connect(server.url)
    assert served.generate([CANARY], 5) == [f"{CANARY.prompt} 5"]
    assert KEY not in repr(served)
    monkeypatch.setenv("OPENAI_API_KEY", "another-canary")
    refused(lambda: connect(server.url))
    assert "canary" not in caplog.text


def test_what_is_secret_in_an_address_reaches_the_server_and_nothing_else(server: Server) -> None:
    host = server.url.removeprefix("http://")
    served = connect(f"http://user:canary@{host}?token=canary", "parrot")
    assert served.generate(["Who?"], 5) == ["Who? 5"]
    assert all(path.endswith("?token=canary") for path in server.paths)
    assert all(h["authorization"].startswith("Basic ") for h in server.headers)
    assert served.address == server.url
    assert "canary" not in repr(served)
    assert served.digest() == connect(server.url).digest()
    server.failures = [400]
    refused(lambda: served.generate([CANARY], 5))


def test_the_digest_tells_addresses_names_and_what_is_reported_apart(server: Server) -> None:
    server.says = {"a": reciting({}), "b": reciting({})}
    server.reports = {"created": 1, "max_model_len": 96}
    found = connect(server.url, "a")
    assert found.digest() != connect(server.url, "b").digest()
    assert found.digest() != connect(server.url, "a", api="completions").digest()
    assert (found.max_length, found.observable, found.held, found.guards) == (96, False, None, ())
    server.reports = {"created": 2, "max_model_len": 96}  # some give the time of the question
    assert found.digest() == connect(server.url, "a").digest()
    server.reports = {"max_model_len": 97}
    assert found.digest() != connect(server.url, "a").digest()


def test_lengths_are_estimated_and_rather_too_large(server: Server, llama: LM) -> None:
    served = connect(server.url)
    assert served.max_length == 2048
    assert served.answer_length(CANARY) == 4
    assert served.question_length(TALK) == 2 + 2 + 3
    for row in worlds.RECORDS:
        assert llama.answer_length(row) == len(llama.encoder.row(row).ids) - llama.encoder.row(row).start
        assert llama.question_length(row) == len(llama.encoder.row(row).prompt)


def test_without_the_client_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    assert refused(lambda: connect("http://localhost:1/v1")) == (
        "a served model is asked with the package 'openai', which is not here; pip install 'unteach[judge]'"
    )
