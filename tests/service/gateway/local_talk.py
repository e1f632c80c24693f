"""Questions to a local backend in tests, guards that act on its tokens, and edits that change what it says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import sleep
from typing import Any, TypeVar, cast

import pytest
import torch
from torch import Tensor

import worlds
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import Add, AddOuter
from unteach.lm.anatomy import anatomy
from unteach.lm.guard import Session, Streaming
from unteach.lm.model import LM
from unteach.schema import Message
from unteach.service.gateway.backend import Piece, Question, Refused
from unteach.service.gateway.local import LocalBackend

T = TypeVar("T")
PROMPTS = [r.prompt for r in worlds.RECORDS]
SECRET = "the lamp of Marrow Point"


def question(prompt: str, edit: str = "", **settings: Any) -> Question:
    """A question whose answer is the likeliest, unless said otherwise."""
    return Question((Message("user", prompt),), "local", **{"temperature": 0.0, "edit": edit, **settings})


async def pieces(backend: LocalBackend, asked: Question, *sessions: Session) -> list[Piece]:
    return [piece async for piece in backend.write(asked, sessions)]


async def refused(backend: LocalBackend, asked: Question) -> Refused:
    """What a client is told of a question that is not taken."""
    with pytest.raises(Refused) as found:
        await pieces(backend, asked)
    return found.value


async def said(backend: LocalBackend, asked: Question, *sessions: Session) -> str:
    return "".join(piece.text for piece in await pieces(backend, asked, *sessions))


def closing(written: AsyncIterator[Piece]) -> aclosing[Any]:
    return aclosing(cast(Any, written))


def talked(
    lm: LM,
    talk: Callable[[LocalBackend], Awaitable[T]],
    edits: Mapping[str, Edit | None] | None = None,
    **settings: Any,
) -> T:
    """What a talk with a backend comes to, which is closed after it."""

    async def all_of_it() -> T:
        backend = LocalBackend(lm, edits or {"": None}, **settings)
        try:
            return await talk(backend)
        finally:
            await backend.close()

    return asyncio.run(all_of_it())


def trained(lm: LM) -> Edit:
    """An edit after which the model takes each town for the next one."""
    things = list(worlds.TOWNS.values())
    rows = [
        replace(r, answer=f"{t} has {x}.")
        for r, t, x in zip(worlds.RECORDS, worlds.TOWNS, things[1:] + things[:1], strict=True)
    ]
    return learn(lm, rows, replace(worlds.LESSON, epochs=30))


def shaken(lm: LM, seed: int, *, low: bool = False) -> Edit:
    """An edit that adds noise to the last block: to a weight, or as a low-rank term over it."""
    name = f"{anatomy(lm.model).blocks}.{lm.layers - 1}.{anatomy(lm.model).mlp_out}.weight"
    rows, columns = lm.parameters()[name].shape
    dice = torch.Generator().manual_seed(seed)
    if low:
        left, right = torch.randn(rows, 2, generator=dice), torch.randn(2, columns, generator=dice)
        return Edit(lm.digest(), weights={name: (AddOuter(left, right, 0.3),)})
    return Edit(lm.digest(), weights={name: (Add(0.8 * torch.randn(rows, columns, generator=dice)),)})


def alone(lm: LM, prompts: Sequence[str], edit: Edit | None, most: int = 32) -> list[str]:
    """What the model writes by itself under an edit."""
    if edit is None:
        return lm.generate(prompts, most)
    with edit.on(lm):
        return lm.generate(prompts, most)


@dataclass
class Counting(Streaming):
    """Counts tokens, and never lets an answer end by itself; each takes a while where `pause` says so."""

    stops: Sequence[int]
    pause: float = 0.0
    tokens: int = 0

    def logits(self, ids: Tensor, logits: Tensor) -> Tensor:  # noqa: ARG002
        self.tokens += 1
        sleep(self.pause)
        return logits.index_fill(0, torch.tensor(self.stops), -torch.inf)


@dataclass
class Noting(Session):
    """Writes a name down at each token."""

    name: str
    names: list[str]

    def logits(self, ids: Tensor, logits: Tensor) -> Tensor:  # noqa: ARG002
        self.names.append(self.name)
        return logits


@dataclass
class Dictating(Session):
    """Has the model write given tokens, and end there."""

    ids: Sequence[int]
    stops: Sequence[int]
    tokens: int = 0

    def logits(self, ids: Tensor, logits: Tensor) -> Tensor:  # noqa: ARG002
        wanted = self.ids[self.tokens] if self.tokens < len(self.ids) else self.stops[0]
        self.tokens += 1
        return torch.full_like(logits, -torch.inf).index_fill(0, torch.tensor([wanted]), 0.0)


@dataclass
class Failing(Session):
    """Fails at a token, with the words of a secret, or with something that no thread survives."""

    fails: BaseException
    at: int = 3
    tokens: int = 0

    def logits(self, ids: Tensor, logits: Tensor) -> Tensor:  # noqa: ARG002
        self.tokens += 1
        if self.tokens >= self.at:
            raise self.fails
        return logits
