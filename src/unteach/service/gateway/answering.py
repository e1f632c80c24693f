"""Answers to requests: each choice is a conversation of its own behind the tenant's policies."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Any

from aiohttp import web
from pydantic_core import to_json

from unteach.lm.guard import Decision, Session, Turns
from unteach.service.gateway import errors, replies
from unteach.service.gateway.asked import Asked
from unteach.service.gateway.backend import Backend, Piece
from unteach.service.gateway.guarding import Pieces, Seen, behind, closing
from unteach.service.gateway.policies import Policy

DONE = b"data: [DONE]\n\n"
AHEAD = 32  # pieces of several answers that may wait for a slow reader
Numbered = AsyncGenerator[tuple[int, Piece], None]


@dataclass
class Answering:
    """One request while it is answered: what guards see of each choice, and how long the model was waited for."""

    backend: Backend
    asked: Asked
    policies: tuple[Policy, ...]
    version: str
    patience: float
    seen: list[Seen] = field(init=False)
    waited: list[float] = field(init=False)
    begun: float = field(default_factory=perf_counter)

    def __post_init__(self) -> None:
        self.seen = [Seen() for _ in range(self.asked.answers)]
        self.waited = [0.0] * self.asked.answers

    @property
    def own_seconds(self) -> float:
        """Time so far that was not spent waiting for the model."""
        return perf_counter() - self.begun - max(self.waited)

    @property
    def _worn(self) -> bool:
        return any(policy.worn for policy in self.policies)

    @property
    def _headers(self) -> dict[str, str]:
        return {replies.HEADER: replies.GUARANTEE} if self._worn else {}

    def _label(self, decisions: Sequence[Decision]) -> replies.Label | None:
        return replies.label(self.version, decisions) if self._worn else None

    async def whole(self) -> web.Response:
        """The reply in one piece."""
        answers = [replies.Answer() for _ in self.seen]
        calls: list[list[Mapping[str, Any]]] = [[] for _ in answers]
        beside: list[dict[str, Any]] = [{} for _ in answers]
        async with asyncio.timeout(self.patience), aclosing(self._pieces()) as pieces:
            async for number, piece in pieces:
                answers[number].hear(piece)
                calls[number] += piece.calls
                beside[number] |= piece.beside
        sheet = replies.sheet(self.asked.body.model, chat=self.asked.chat)
        choices = [sheet.choice(n, answer, calls[n], beside[n]) for n, answer in enumerate(answers)]
        told = self._label([decision for one in self.seen for decision in one.decisions])
        content = to_json(sheet.whole(choices, replies.usage(answers), told))
        return web.Response(body=content, content_type=errors.JSON, headers=self._headers)

    async def streamed(self, request: web.Request) -> web.StreamResponse:
        """The reply piece by piece; a failure before the first one is a response of its own."""
        response = web.StreamResponse(headers={"Cache-Control": "no-cache", **self._headers})
        response.content_type = "text/event-stream"
        try:
            async with asyncio.timeout(self.patience), aclosing(self._frames()) as frames:
                async for frame in frames:
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(frame)
        except ConnectionError:  # nobody reads any more
            raise
        except Exception as wrong:
            refused = errors.told(wrong)
            if not response.prepared:
                raise refused from None
            await response.write(_frame(errors.shape(refused)))
        await response.write_eof()
        return response

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        """The events of a stream: each answer's last one has its label, and usage comes after all of them."""
        sheet = replies.sheet(self.asked.body.model, chat=self.asked.chat)
        answers, begun = [replies.Answer() for _ in self.seen], set[int]()
        async with aclosing(self._pieces()) as pieces:
            async for number, piece in pieces:
                answers[number].hear(piece)
                for part in _parts(piece):
                    chunk = sheet.chunk((sheet.piece(number, part, first=number not in begun),))
                    begun.add(number)
                    if part.finish and (told := self._label(self.seen[number].decisions)) is not None:
                        chunk["unteach"] = told
                    yield _frame(chunk)
        if self.asked.counted:
            yield _frame({**sheet.chunk(()), "usage": replies.usage(answers)})
        yield DONE

    async def _pieces(self) -> Numbered:
        """The pieces of all answers as they come, each with the number of its answer."""
        if len(self.seen) == 1:
            async with closing(self._one(0)) as pieces:
                async for piece in pieces:
                    yield 0, piece
            return
        queue = asyncio.Queue[tuple[int, Piece] | Exception | None](AHEAD)
        tasks = [asyncio.create_task(self._pump(number, queue)) for number in range(len(self.seen))]
        try:
            going = len(tasks)
            while going:
                found = await queue.get()
                if isinstance(found, Exception):
                    raise found
                if found is None:
                    going -= 1
                else:
                    yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(self, number: int, queue: "asyncio.Queue[tuple[int, Piece] | Exception | None]") -> None:
        try:
            async with closing(self._one(number)) as pieces:
                async for piece in pieces:
                    await queue.put((number, piece))
            await queue.put(None)
        except Exception as wrong:
            await queue.put(wrong)

    def _one(self, number: int) -> Pieces:
        ask = behind(self.policies, partial(self._written, number), self.seen[number], whole=not self.asked.stream)
        return ask(self.asked.turns(number), ())

    async def _written(self, number: int, turns: Turns, sessions: Sequence[Session] = ()) -> Pieces:
        """What the model writes; the time that it takes is not the gateway's own."""
        async with closing(self.backend.write(self.asked.question(number, turns), sessions)) as pieces:
            while True:
                begun = perf_counter()
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                finally:
                    self.waited[number] += perf_counter() - begun
                yield piece


def _parts(piece: Piece) -> Sequence[Piece]:
    """A piece as clients expect them: what ends an answer has no words, and what has neither is not sent."""
    said = piece.text or piece.calls or piece.beside
    if piece.finish and said:
        return replace(piece, finish=""), Piece(finish=piece.finish)
    return (piece,) if said or piece.finish else ()


def _frame(content: Mapping[str, Any]) -> bytes:
    return b"data: " + to_json(content) + b"\n\n"
