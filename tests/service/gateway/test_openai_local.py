"""The official client, over a socket, in front of a model whose weights are here."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar

import openai
import pytest
from local_talk import PROMPTS, Counting, alone, shaken
from openai import AsyncOpenAI, OpenAI
from running import SECRET, Filter, looping, policy

from unteach.edit.edit import Edit
from unteach.lm.guard import Guard
from unteach.lm.model import LM
from unteach.service.gateway import running
from unteach.service.gateway.access import Keyring
from unteach.service.gateway.config import Limits, Tenant
from unteach.service.gateway.gateway import Gateway
from unteach.service.gateway.local import LocalBackend
from unteach.service.gateway.policies import version
from unteach.service.gateway.rules import Rules

MOST = 16
ONCE: dict[str, Any] = {"max_retries": 0, "timeout": 60}


@dataclass(frozen=True)
class Slow(Guard):
    """Lets no answer end by itself, and takes its time for each token."""

    weighs: ClassVar[bool] = True
    stops: tuple[int, ...]
    sessions: list[Counting] = field(default_factory=list, repr=False)
    observable: bool = False

    def session(self) -> Counting:
        self.sessions.append(Counting(self.stops, pause=0.01))
        return self.sessions[-1]


@dataclass(frozen=True)
class Front:
    """A gateway in front of the model, and the keys of its tenants."""

    url: str
    keys: Mapping[str, str]
    clients: Mapping[str, OpenAI]
    slow: Slow
    texts: Mapping[str, list[str]]  # what the model says by itself under each edit

    def ask(self, prompt: str, tenant: str = "plain", **fields: Any) -> Any:
        settings = {"model": "local", "temperature": 0, "max_tokens": MOST, **fields}
        return self.clients[tenant].chat.completions.create(messages=[{"role": "user", "content": prompt}], **settings)


@pytest.fixture(scope="module")
def front(llama: LM) -> Iterator[Front]:
    edits: dict[str, Edit | None] = {"": None, "acme": shaken(llama, 2), "bolt": shaken(llama, 1)}
    texts = {name: alone(llama, PROMPTS, edit, MOST) for name, edit in edits.items()}
    slow = Slow(llama.encoder.stops)
    worn = {p.name: p for p in (policy(slow, name="slow"), policy(Filter(), name="filter"))}
    tenants = {
        "plain": Tenant(policies=()), "acme": Tenant(edits=("acme",), policies=()), "slow": Tenant(policies=("slow",)),
        "bolt": Tenant(edits=("bolt", "acme"), policies=()), "filtered": Tenant(policies=("filter",)),
    }  # fmt: skip
    ring, keys = Keyring(), dict[str, str]()
    for tenant in tenants:
        ring, keys[tenant] = ring.minted(tenant)
    rules = Rules(
        ring, worn, tenants, Limits(per_minute=10**6, at_once=500), ("acme", "bolt"), version(worn, ring.secret)
    )

    async def main(stop: asyncio.Event, listening: Callable[[int], None]) -> None:
        await running.serve(Gateway(LocalBackend(llama, edits), rules), "127.0.0.1", 0, listening, stop)

    with looping(main) as (port, *_), ExitStack() as open_:
        url = f"http://127.0.0.1:{port}/v1"
        clients = {
            tenant: open_.enter_context(OpenAI(base_url=url, api_key=key, **ONCE)) for tenant, key in keys.items()
        }
        yield Front(url, keys, clients, slow, texts)


def test_a_chat_is_answered(front: Front, llama: LM) -> None:
    reply = front.ask(PROMPTS[0])
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (front.texts[""][0], "stop")
    written = len(llama.extend([llama.encoder.prompt(PROMPTS[0])], [MOST])[0])
    assert reply.usage.prompt_tokens == len(llama.encoder.prompt(PROMPTS[0]))
    assert reply.usage.completion_tokens == written
    assert [m.id for m in front.clients["bolt"].models.list()] == ["local", "local@bolt", "local@acme"]


def test_a_stream_comes_token_by_token(front: Front) -> None:
    chunks = list(front.ask(PROMPTS[1], stream=True, stream_options={"include_usage": True}))
    said = [c.choices[0].delta.content for c in chunks[:-1] if c.choices[0].delta.content]
    assert "".join(said) == front.texts[""][1]
    assert len(said) > 5
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert chunks[-1].usage.total_tokens > chunks[-1].usage.prompt_tokens > 0


def test_texts_are_gone_on_with(front: Front, llama: LM) -> None:
    texts = [f"{p} " for p in PROMPTS[:3]]
    ids = [list(llama.tokenizer(text)["input_ids"]) for text in texts]
    reply = front.clients["plain"].completions.create(model="local", prompt=texts, temperature=0, max_tokens=9)
    assert [c.text for c in reply.choices] == [
        llama.tokenizer.decode(went, skip_special_tokens=True) for went in llama.extend(ids, [9] * 3)
    ]
    assert reply.usage.prompt_tokens == sum(map(len, ids))


def test_settings_are_kept_to(front: Front) -> None:
    whole = front.texts[""][0]
    cut = front.ask(PROMPTS[0], max_tokens=4).choices[0]
    assert cut.finish_reason == "length"
    assert whole.startswith(cut.message.content)
    assert front.ask(PROMPTS[0], stop=["harbour"]).choices[0].message.content == whole.split("harbour")[0]
    drawn = [c.message.content for c in front.ask(PROMPTS[0], temperature=2, seed=3, n=3).choices]
    assert [c.message.content for c in front.ask(PROMPTS[0], temperature=2, seed=3, n=3).choices] == drawn
    assert len({*drawn}) > 1


def test_errors_are_those_a_client_knows(front: Front) -> None:
    with pytest.raises(openai.BadRequestError) as long:
        front.ask(f"{SECRET} " * 100)
    assert long.value.code == "context_length_exceeded"
    assert SECRET not in str(long.value)
    with pytest.raises(openai.NotFoundError) as model:
        front.ask(PROMPTS[0], model="remote")
    assert (model.value.code, model.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        front.ask(PROMPTS[0], "acme", model="local@bolt")
    with pytest.raises(openai.BadRequestError) as tools:
        front.ask(PROMPTS[0], tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}])
    assert tools.value.param == "tools"
    with OpenAI(base_url=front.url, api_key="sk-none", **ONCE) as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_no_tenant_meets_anothers_edit_over_a_socket(front: Front) -> None:
    """Whole answers and streams of three tenants at once, one of whom also asks under another edit that is its own."""
    wears = {
        ("plain", "local"): "",
        ("acme", "local"): "acme",
        ("bolt", "local"): "bolt",
        ("bolt", "local@acme"): "acme",
    }
    order = [(asked, n) for asked in wears for n in range(len(PROMPTS))]
    random.Random(1).shuffle(order)

    async def one(client: AsyncOpenAI, number: int, model: str, n: int) -> str:
        await asyncio.sleep(0.003 * number)
        create: Callable[..., Awaitable[Any]] = client.chat.completions.create
        asked = {"model": model, "messages": [{"role": "user", "content": PROMPTS[n]}], "temperature": 0}
        if number % 2:
            return str((await create(**asked, max_tokens=MOST)).choices[0].message.content)
        stream = await create(**asked, max_tokens=MOST, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_of_them() -> list[str]:
        async with AsyncExitStack() as open_:
            clients = {
                tenant: await open_.enter_async_context(AsyncOpenAI(base_url=front.url, api_key=key, **ONCE))
                for tenant, key in front.keys.items()
            }
            return await asyncio.gather(*(one(clients[t], i, m, n) for i, ((t, m), n) in enumerate(order)))

    assert asyncio.run(all_of_them()) == [front.texts[wears[asked]][n] for asked, n in order]


def test_guards_stand_around_what_the_model_streams(front: Front) -> None:
    chunks = list(front.ask(PROMPTS[0], "filtered", stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text == front.texts[""][0].replace(SECRET, "[…]") != front.texts[""][0]
    assert chunks[-1].choices[0].finish_reason == "content_filter"


def test_a_client_that_goes_ends_its_answer(front: Front) -> None:
    with front.ask(PROMPTS[0], "slow", max_tokens=80, stream=True) as stream:
        next(iter(stream))
    session = front.slow.sessions[-1]
    then = session.tokens
    front.ask(PROMPTS[0])
    end = time.monotonic() + 10
    while (now := session.tokens) != then:  # it may take a moment until the connection is seen to be closed
        assert time.monotonic() < end
        then = now
        time.sleep(0.2)
    assert then < 80, "what nobody reads is not written"


def test_a_slow_answer_is_written_beside_others(front: Front) -> None:
    with front.ask(PROMPTS[0], "slow", max_tokens=80, stream=True) as stream:
        next(iter(stream))
        assert front.ask(PROMPTS[0], "acme").choices[0].message.content == front.texts["acme"][0]
        assert front.slow.sessions[-1].tokens < 80
        assert [c.choices[0].finish_reason for c in stream][-1] == "length"
