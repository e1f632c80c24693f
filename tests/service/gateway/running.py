"""Gateways and stubs on ports of their own, in threads of the test, and guards that do what a test needs."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from aiohttp import web
from openai import OpenAI
from stub import Stub, application

from unteach.lm.guard import Guard, Session, Streaming, Turns, asked, asking
from unteach.schema import Message
from unteach.service.gateway import running
from unteach.service.gateway.access import Keyring
from unteach.service.gateway.backend import Backend
from unteach.service.gateway.config import Limits, Tenant
from unteach.service.gateway.gateway import Gateway
from unteach.service.gateway.policies import Policy, version
from unteach.service.gateway.rules import Rules
from unteach.service.gateway.upstream import Upstream

SECRET = "Orvena"
REFUSAL = "That is not for me to say."


@dataclass(frozen=True)
class Gate(Guard, Streaming):
    """Answers whoever names one word."""

    word: str = field(default=SECRET, repr=False)
    observable: bool = False

    def session(self) -> "Gate":
        return self

    def ask(self, turns: Turns) -> Turns | str:
        return "Closed." if self.word in asked(turns) else turns


@dataclass
class Holding(Streaming):
    """Never lets a word through, and holds back what may become one."""

    word: str
    held: str = ""

    @property
    def over(self) -> bool:
        return False

    def feed(self, piece: str) -> str:
        text = (self.held + piece).replace(self.word, "[…]")
        keep = next((n for n in range(min(len(self.word) - 1, len(text)), 0, -1) if self.word.startswith(text[-n:])), 0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> str:
        left, self.held = self.held, ""
        return left


@dataclass(frozen=True)
class Filter(Guard):
    """Takes a word out of replies while they come."""

    word: str = field(default=SECRET, repr=False)
    observable: bool = False

    def session(self) -> Holding:
        return Holding(self.word)


@dataclass(frozen=True)
class Swap(Guard, Streaming):
    """Asks about another town than the one that was asked about."""

    observable: bool = False

    def session(self) -> "Swap":
        return self

    def ask(self, turns: Turns) -> Turns:
        return asking(turns, asked(turns).replace(SECRET, "Sella"))


@dataclass
class Judging(Session):
    """Has the model say whether its own reply may leave."""

    first: str | None = None

    def reply(self, text: str) -> Turns | str:
        if self.first is None:
            self.first = text
            return (Message("user", f"echo judge {text}"),)
        return "Withheld." if SECRET in text else self.first


@dataclass(frozen=True)
class Judge(Guard):
    observable: bool = False

    def session(self) -> Judging:
        return Judging()


@dataclass(frozen=True)
class Broken(Guard, Streaming):
    """Fails, with the words of the conversation in what it says, at a question or at a piece."""

    at: str = "question"
    observable: bool = False

    def session(self) -> "Broken":
        return self

    def ask(self, turns: Turns) -> Turns:
        if self.at == "question":
            raise ValueError(asked(turns))
        return turns

    def feed(self, piece: str) -> str:
        if self.at == "reply":
            raise ValueError(piece)
        return piece


def policy(*guards: Guard, action: Any = "edit", error: bool = False, open: bool = False, name: str = "town") -> Policy:
    """A policy of guards, innermost first."""
    return Policy(name, action, guards, REFUSAL, error, open)


@dataclass
class Place:
    """Where a gateway listens, and the keys that open it."""

    port: int
    key: str
    admin: str
    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    client: OpenAI
    stop: asyncio.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __call__(self, asked: str, **fields: Any) -> Any:
        return self.client.chat.completions.create(
            model="stub", messages=[{"role": "user", "content": asked}], **fields
        )

    def counted(self) -> str:
        return self.gateway.meters.exposed().decode()


@contextmanager
def looping(
    main: Callable[[asyncio.Event, Callable[[int], None]], Awaitable[None]],
) -> Iterator[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]]:
    """A server in a loop and a thread of its own: its port, its loop, and what ends it."""
    up, found, loop = Event(), list[int](), asyncio.new_event_loop()
    stop = asyncio.Event()

    def listening(port: int) -> None:
        found.append(port)
        up.set()

    thread = Thread(target=lambda: loop.run_until_complete(main(stop, listening)), daemon=True)
    thread.start()
    assert up.wait(20)
    try:
        yield found[0], loop, stop
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive()
        loop.close()


@contextmanager
def stubbed(stub: Stub) -> Iterator[str]:
    """The address of a stub."""

    async def main(stop: asyncio.Event, listening: Callable[[int], None]) -> None:
        runner = web.AppRunner(application(stub), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        port = free()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        listening(port)
        await stop.wait()
        await runner.cleanup()

    with looping(main) as (port, _, _):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def opened(
    backend: Backend | str, *policies: Policy, tenants: dict[str, Tenant] | None = None, **limits: Any
) -> Iterator[Place]:
    """A gateway before a backend, or before a URL."""
    ring, key = Keyring().minted("acme")
    ring, admin = ring.minted("acme", "admin")
    worn = {p.name: p for p in policies}
    limited = Limits(**{"per_minute": 1_000_000, **limits})
    found = Rules(ring, worn, tenants or {}, limited, (), version(worn, ring.secret))
    gateway = Gateway(Upstream(backend) if isinstance(backend, str) else backend, found)

    async def main(stop: asyncio.Event, listening: Callable[[int], None]) -> None:
        await running.serve(gateway, "127.0.0.1", 0, listening, stop)

    with (
        looping(main) as (port, loop, stop),
        OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0, timeout=20) as client,
    ):
        yield Place(port, key, admin, gateway, loop, client, stop)


def free() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
