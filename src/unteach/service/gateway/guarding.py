"""Policies around an answer that is being written, one layer each, the first of them outermost."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from logging import getLogger
from typing import Any, cast

from unteach.lm.guard import Conversation, Decision, Session, Turns
from unteach.service.gateway.backend import Piece, Refused
from unteach.service.gateway.policies import Policy

LOG = getLogger("unteach.gateway")
FILTERED = "content_filter"
Pieces = AsyncGenerator[Piece, None]
Ask = Callable[[Turns, Sequence[Session]], Pieces]  # `sessions` are those that weigh tokens
Calls = Sequence[Mapping[str, Any]]


@dataclass
class Seen:
    """What guards decided about one answer: those that were worn, and those that only watched."""

    wore: list[list[Decision]] = field(default_factory=list)
    watched: list[list[Decision]] = field(default_factory=list)

    @property
    def decisions(self) -> list[Decision]:
        return [decision for talk in self.wore for decision in talk]

    @property
    def all(self) -> list[Decision]:
        return self.decisions + [decision for talk in self.watched for decision in talk]


def behind(policies: Sequence[Policy], ask: Ask, seen: Seen, *, whole: bool) -> Ask:
    """What is asked through policies. `whole`: nobody reads along, so a reply may be replaced as late as at its end."""
    for policy in reversed(policies):
        ask = partial(guarded, policy, ask, seen, whole) if policy.worn else partial(monitored, policy, ask, seen)
    return ask


def closing(pieces: AsyncIterator[Piece]) -> aclosing[Pieces]:
    """Pieces whose source is told when nobody wants more of them."""
    return aclosing(cast(Pieces, pieces))


@contextmanager
def failing_closed(policy: Policy) -> Iterator[None]:
    """Whatever a guard raises ends the answer, and what it says stays here: it may hold words of the conversation."""
    try:
        yield
    except Exception as wrong:
        LOG.warning("policy %s: a guard failed with %s", policy.name, type(wrong).__name__)
        raise Refused(503, "guard_failed", "a guard failed, so nothing is answered; tell the operator") from None


async def guarded(
    policy: Policy, ask: Ask, seen: Seen, whole: bool, turns: Turns, sessions: Sequence[Session] = ()
) -> Pieces:
    """The conversation as the guards of a policy lead it.

    Where they answered, cut or changed something, it ends as `content_filter`; and a policy that has words of its own
    puts them in place of the reply, as far as nothing of it has left.
    """
    with failing_closed(policy):
        talk = Conversation(policy.guards, turns)
    seen.wore.append(talk.decisions)
    model, held, left = _Model(), "", False
    async with aclosing(_led(policy, talk, ask, model, sessions)) as texts:
        async for text in texts:
            held += text
            if held and talk.turns is not None and not (whole and policy.replaces):
                yield Piece(held)
                held, left = "", True
    hit = talk.said != model.text or any(d.action in ("answered", "cut") for d in talk.decisions)
    calls = () if hit else joined(model.calls)
    if calls and not await _harmless(policy, ask, seen, turns, calls):
        hit, calls = True, ()
    if hit and policy.error:
        raise Refused(400, FILTERED, policy.says)
    if hit and policy.replaces and not left:
        held = policy.says
    yield Piece(held, FILTERED if hit else model.finish or "stop", calls, read=model.read, written=model.written)


async def _led(
    policy: Policy, talk: Conversation, ask: Ask, model: "_Model", sessions: Sequence[Session]
) -> AsyncGenerator[str, None]:
    """What leaves of a conversation, while the model is asked as often as its guards want."""
    weighing = tuple(s for g, s in zip(policy.guards, talk.sessions, strict=True) if g.weighs)
    yield talk.said
    while (wanted := talk.turns) is not None:
        model.rounds += 1
        async with closing(ask(wanted, (*weighing, *sessions))) as pieces:
            async for piece in pieces:
                model.hear(piece)
                if piece.text:
                    with failing_closed(policy):
                        text = talk.hear(piece.text)
                    yield text
                if talk.turns is not wanted or any(getattr(session, "over", False) for session in talk.sessions):
                    break
        if talk.turns is wanted:
            with failing_closed(policy):
                text = talk.hear(None)
            yield text


@dataclass
class _Model:
    """What the model itself said: its first reply, and how many tokens it read and wrote in all."""

    rounds: int = 0
    text: str = ""
    finish: str = ""
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    read: int = 0
    written: int = 0

    def hear(self, piece: Piece) -> None:
        self.read, self.written = self.read + (piece.read or 0), self.written + (piece.written or 0)
        if self.rounds == 1:
            self.text += piece.text
            self.finish = piece.finish or self.finish
            self.calls += piece.calls


def joined(deltas: Calls) -> tuple[Mapping[str, Any], ...]:
    """Whole tool calls of their deltas, with nothing but names and arguments."""
    found: dict[Any, dict[str, Any]] = {}
    for number, delta in enumerate(deltas):
        call = found.setdefault(delta.get("index", number), {"id": "", "name": "", "arguments": ""})
        told = delta.get("function") or {}
        call["id"] = call["id"] or delta.get("id") or ""
        call["name"] += told.get("name") or ""
        call["arguments"] += told.get("arguments") or ""
    return tuple(
        {"index": n, "id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
        for n, c in enumerate(found.values())
    )


async def _harmless(policy: Policy, ask: Ask, seen: Seen, turns: Turns, calls: Calls) -> bool:
    """Whether the guards let tool calls through as they are: they meet all their words as a reply to the same turns."""
    text = "\n".join(words(calls))
    given = iter((text,))

    def said(turns: Turns, sessions: Sequence[Session]) -> Pieces:
        first = next(given, None)
        return ask(turns, sessions) if first is None else _once(first)

    heard, apart = "", Seen()
    trial = replace(policy, action="edit", error=False)
    finish = ""
    async with aclosing(guarded(trial, said, apart, True, turns)) as pieces:
        async for piece in pieces:
            heard, finish = heard + piece.text, piece.finish
    if finish == FILTERED or heard != text:
        seen.wore += apart.wore
        return False
    return True


async def _once(text: str) -> Pieces:
    yield Piece(text)


def words(calls: Calls) -> Iterator[str]:
    """All that tool calls say: names, arguments, and the texts that the arguments are JSON of."""
    for call in calls:
        told = call["function"]
        yield told["name"]
        yield told["arguments"]
        try:
            yield from _texts(json.loads(told["arguments"]))
        except (ValueError, RecursionError):  # what is no JSON has been met as it stands
            continue


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


async def monitored(policy: Policy, ask: Ask, seen: Seen, turns: Turns, sessions: Sequence[Session] = ()) -> Pieces:
    """Everything passes; what the guards would do is decided beside it."""
    watch = _Watch(policy)
    watch.open(turns)
    seen.watched.append(watch.decisions)
    async with closing(ask(turns, sessions)) as pieces:
        async for piece in pieces:
            if piece.text:
                watch.hear(piece.text)
            yield piece
    watch.hear(None)


@dataclass
class _Watch:
    """A conversation that nobody hears; where its policy may fail open, it ends with the first failure."""

    policy: Policy
    talk: Conversation | None = None

    @property
    def decisions(self) -> list[Decision]:
        return self.talk.decisions if self.talk is not None else []

    def open(self, turns: Turns) -> None:
        with self._failing():
            self.talk = Conversation(self.policy.guards, turns)

    def hear(self, piece: str | None) -> None:
        if self.talk is not None and self.talk.turns is not None:
            with self._failing():
                self.talk.hear(piece)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            with failing_closed(self.policy):
                yield
        except Refused:
            self.talk = None
            if not self.policy.open:
                raise
