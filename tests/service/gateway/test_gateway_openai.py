"""The official client, over a socket: in front of a stub, and of another gateway in front of the stub."""

import asyncio
import time
from collections.abc import Iterator

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from running import REFUSAL, SECRET, Filter, Gate, Place, opened, policy, stubbed
from stub import PLAIN, Stub

from unteach.service.gateway.upstream import Upstream


@pytest.fixture(scope="module")
def chained(stub: Stub) -> Iterator[dict[str, Place]]:
    """A gateway that filters, and one that blocks in front of it."""
    with (
        stubbed(stub) as url,
        opened(url, policy(Filter())) as inner,
        opened(Upstream(inner.url, key=inner.key), policy(Gate(), action="block")) as outer,
    ):
        yield {"one": inner, "two": outer}


@pytest.fixture(params=["one", "two"])
def place(request: pytest.FixtureRequest, chained: dict[str, Place]) -> Place:
    return chained[request.param]


def test_a_chat_is_answered_and_labelled(place: Place) -> None:
    raw = place.client.chat.completions.with_raw_response.create(
        model="stub", messages=[{"role": "user", "content": "Which mill?"}]
    )
    reply = raw.parse()
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (PLAIN, "stop")
    assert raw.headers["x-unteach-guarantee"] == "suppression"
    assert reply.unteach["guarantee"] == "suppression"
    assert reply.unteach["policy"] == place.gateway.rules.version
    assert [d["action"] for d in reply.unteach["decisions"]] == ["passed", "passed"]
    assert reply.usage.total_tokens == 4


def test_a_text_is_gone_on_with(place: Place) -> None:
    reply = place.client.completions.create(model="stub", prompt=["Which mill?", "echo it"])
    assert [(c.index, c.text, c.finish_reason) for c in reply.choices] == [(0, PLAIN, "stop"), (1, "echo it", "stop")]
    chunks = list(place.client.completions.create(model="stub", prompt="echo it", stream=True))
    assert "".join(c.choices[0].text for c in chunks) == "echo it"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_comes_piece_by_piece_and_ends_with_its_label_and_usage(place: Place, stub: Stub) -> None:
    pieces = ["The mill ", "by the ", "lock is ", "closed."]
    was, stub.says = stub.says, lambda _asked: pieces
    try:
        chunks = list(place("Which mill?", stream=True, stream_options={"include_usage": True}))
    finally:
        stub.says = was
    said = [c.choices[0].delta.content for c in chunks[:-1] if c.choices[0].delta.content]
    assert "".join(said) == "".join(pieces)
    assert len(said) >= 3
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert chunks[-2].unteach["guarantee"] == "suppression"
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 4)


def test_a_phrase_that_is_split_over_pieces_never_leaves(chained: dict[str, Place], stub: Stub) -> None:
    text = f"They say {SECRET} is green."
    was = stub.says
    try:
        for cut in range(1, len(text)):
            stub.says = lambda _asked, cut=cut: [text[:cut], text[cut:]]
            chunks = list(chained["one"]("Which?", stream=True))
            assert "".join(c.choices[0].delta.content or "" for c in chunks) == text.replace(SECRET, "[…]")
            assert chunks[-1].choices[0].finish_reason == "content_filter"
    finally:
        stub.says = was


def test_several_answers_are_several_conversations(place: Place) -> None:
    reply = place("Which mill?", n=3)
    assert [(c.index, c.message.content) for c in reply.choices] == [(n, PLAIN) for n in range(3)]
    chunks = list(place("Which mill?", n=3, stream=True))
    for number in range(3):
        mine = [c.choices[0] for c in chunks if c.choices[0].index == number]
        assert "".join(c.delta.content or "" for c in mine) == PLAIN
        assert mine[-1].finish_reason == "stop"


def test_what_a_guard_answers_is_labelled(chained: dict[str, Place]) -> None:
    reply = chained["two"](f"What of {SECRET}?")
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (REFUSAL, "content_filter")
    assert reply.unteach["decisions"] == [{"guard": "Gate", "stage": "question", "action": "answered"}]
    chunks = list(chained["two"](f"What of {SECRET}?", stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == REFUSAL
    assert chunks[-1].choices[0].finish_reason == "content_filter"


def test_models_are_listed_and_found(place: Place) -> None:
    assert [m.id for m in place.client.models.list()] == ["stub"]
    assert place.client.models.retrieve("stub").id == "stub"
    with pytest.raises(openai.NotFoundError):
        place.client.models.retrieve("other")


def test_errors_are_those_that_the_client_knows(place: Place) -> None:
    stranger = OpenAI(base_url=place.url, api_key="sk-wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with pytest.raises(openai.BadRequestError) as refused:
        place("x", temperature=99)
    assert (refused.value.param, refused.value.code) == ("temperature", "invalid_value")
    with pytest.raises(openai.BadRequestError, match="'logprobs'"):
        place("x", logprobs=True)


def _until(condition: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def test_whoever_goes_away_cancels_the_answer(place: Place, stub: Stub) -> None:
    was = stub.says
    stub.says, stub.pause = lambda _asked: ["word "] * 1000, 0.02
    try:
        before = stub.cancelled
        stream = place("Which mill?", stream=True)
        next(iter(stream))
        stream.close()
        _until(lambda: stub.cancelled == before + 1 and stub.under_way == 0)

        async def impatient() -> None:
            client = AsyncOpenAI(base_url=place.url, api_key=place.key, max_retries=0)
            asking = asyncio.create_task(
                client.chat.completions.create(model="stub", messages=[{"role": "user", "content": "Which?"}])
            )
            await asyncio.sleep(0.3)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await client.close()

        asyncio.run(impatient())
        _until(lambda: stub.cancelled == before + 2 and stub.under_way == 0)
        _until(lambda: place.gateway.under_way == 0)
    finally:
        stub.says, stub.pause = was, 0.0
