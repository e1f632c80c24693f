"""A model whose weights are here, behind the gateway: it answers many at a time, each under the edit it is asked under."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from unteach.edit.edit import Edit
from unteach.lm.guard import Session
from unteach.lm.model import LM
from unteach.schema import InputError
from unteach.service.gateway.backend import Piece, Question, Refused
from unteach.service.gateway.bodies import HARMLESS, ChatBody, CompletionBody, permit
from unteach.service.gateway.pending import Pending
from unteach.service.gateway.worker import Worker

ROWS = 32  # answers written at a time under one edit
PATIENCE = 2.0  # seconds for the last token when the backend is closed
TAKEN = HARMLESS | {*ChatBody.model_fields, *CompletionBody.model_fields}  # the last are what a `Question` holds


class LocalBackend:
    """`edits` are the names that questions may be asked under, each with what the model wears for them.

    ``LocalBackend(lm, {"": None, "acme": edit})`` answers a question of no name with the model as it is. An edit whose
    base is another model is refused at once, and so is one with guards: they stand around conversations, which the
    backend does not know; give them to the gateway.
    """

    weighs = True

    def __init__(self, lm: LM, edits: Mapping[str, Edit | None], *, name: str = "local", rows: int = ROWS) -> None:
        worn = [edit for edit in edits.values() if edit is not None]
        if lm.guards or any(edit.guards for edit in worn):
            raise InputError(
                "a model or an edit with guards cannot stand behind a gateway; give the gateway its guards"
            )
        for edit in worn:
            edit.check_base(lm)
        self._lm, self._name, self._edits = lm, name, frozenset(edits)
        self._worker = Worker(lm, edits, rows)
        self._worker.start()

    async def models(self) -> Sequence[str]:
        return [self._name]

    async def write(self, question: Question, sessions: Sequence[Session] = ()) -> AsyncIterator[Piece]:
        self._check(question)
        loop, heard = asyncio.get_running_loop(), asyncio.Queue[Piece | Refused]()

        def say(piece: Piece | Refused) -> None:
            with suppress(RuntimeError):  # the loop is closed, and with it whoever asked
                loop.call_soon_threadsafe(heard.put_nowait, piece)

        answer = Pending(question, sessions, say)
        self._worker.ask(answer)
        try:
            finish = ""
            while not finish:
                piece = await heard.get()
                if isinstance(piece, Refused):
                    raise piece
                finish = piece.finish
                yield piece
        finally:
            answer.wanted = False

    async def ready(self) -> bool:
        return self._worker.open

    async def close(self) -> None:
        self._worker.close()
        await asyncio.to_thread(self._worker.join, PATIENCE)

    @contextmanager
    def paused(self) -> Iterator[LM]:
        """The model to oneself, as it is without an edit: for whoever asks or measures it beside the backend."""
        with self._worker.paused():
            yield self._lm

    def _check(self, question: Question) -> None:
        """Refuse what is not known or not done here."""
        if question.model != self._name:
            raise Refused(404, "model_not_found", "there is no such model; ask for one of /v1/models", param="model")
        if question.edit not in self._edits:
            raise Refused(404, "edit_not_found", "there is no such edit; ask for one of /v1/models", param="model")
        permit(question.extra, TAKEN, "is nothing that this model can do")
