"""The one thread that owns a model: it puts edits on and takes them off, and writes the answers asked for under each.

Questions are grouped by the edit they are asked under, and groups take turns: an edit is worn for some tokens of all
its answers, then the next one is. An answer that was begun under an edit goes on under that edit and no other.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from logging import getLogger
from threading import Condition, Thread
from traceback import extract_tb

import torch

from unteach.edit.edit import Edit
from unteach.lm.continuous import ContinuousBatch
from unteach.lm.encoder import Encoder, Template
from unteach.lm.generate import TOKENS_AT_ONCE
from unteach.lm.model import LM
from unteach.service.gateway.backend import Refused
from unteach.service.gateway.pending import Pending

STEPS = 32  # tokens of each answer that an edit is worn for while others wait
CLOSED = 503, "model_closed", "the model is not running; ask again later"
FAILED = 500, "model_failed", "the model failed at this answer; ask again"
FULL = 503, "out_of_memory", "there is no memory for this answer now; ask again later, or ask for a shorter one"
LOG = getLogger("unteach.gateway")


@dataclass(eq=False)
class Group:
    """Answers under one edit: those that wait, oldest first, and those that are being written."""

    edit: Edit | None
    batch: ContinuousBatch
    waiting: deque[Pending] = field(default_factory=deque)
    writing: list[Pending] = field(default_factory=list)
    starved: bool = False  # it had its turn, and there was no room for any

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.writing)

    def size(self, *more: Pending) -> int:
        """Positions that are kept of its answers, and of more: each row may become as wide as the longest."""
        sizes = [answer.size for answer in (*self.writing, *more)]
        return len(sizes) * max(sizes, default=0)


class Worker(Thread):
    """Writes answers until it is closed: under one edit at most `rows` at a time, under all of them `positions`."""

    def __init__(self, lm: LM, edits: Mapping[str, Edit | None], rows: int, positions: int = TOKENS_AT_ONCE) -> None:
        super().__init__(name="unteach-model", daemon=True)
        self._lm, self._rows, self._positions = lm, rows, positions
        self._encoders = {True: lm.encoder, False: Encoder(lm.tokenizer, Template("{prompt}{answer}"), lm.max_length)}
        self._groups = {name: Group(edit, lm.writing()) for name, edit in edits.items()}
        self._ring = deque(self._groups.values())  # the group whose turn it was is the last
        self._changed, self._closing, self._visitors = Condition(), False, 0

    @property
    def open(self) -> bool:
        return self.is_alive() and not self._closing

    def ask(self, answer: Pending) -> None:
        """Have a question answered."""
        with self._changed:
            if not self.open:
                raise Refused(*CLOSED)
            self._groups[answer.question.edit].waiting.append(answer)
            self._changed.notify()

    def close(self) -> None:
        """Answer nothing more, from the next token on."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Between two tokens, while nothing is written and no edit is worn; what was begun goes on afterwards."""
        self._visit(1)
        try:
            with self._lm.lock:
                yield
        finally:
            self._visit(-1)

    def _visit(self, more: int) -> None:
        with self._changed:
            self._visitors += more
            self._changed.notify()

    def run(self) -> None:
        try:
            while group := self._next():
                self._turn(group)
        finally:
            self.close()
            for group in self._ring:
                group.writing += group.waiting
                group.waiting.clear()
                self._refuse(group, *CLOSED)

    def _next(self) -> Group | None:
        """The group whose turn it is, none after the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._wanted)
            if self._closing:
                return None
            self._ring.rotate(-1)
            while not self._ring[-1].busy:
                self._ring.rotate(-1)
            return self._ring[-1]

    @property
    def _wanted(self) -> bool:
        return not self._visitors and any(group.busy for group in self._ring)

    def _turn(self, group: Group) -> None:
        """Write what a group asks for; where that fails, nobody else's answers do."""
        try:
            with self._lm.lock:
                new = self._admitted(group)
                if group.writing:
                    with group.edit.on(self._lm) if group.edit else nullcontext():
                        self._write(group, new)
        except Exception as failed:
            self._refuse(group, *_told(failed))

    def _write(self, group: Group, new: list[Pending]) -> None:
        """Write a group's answers, while others of the group may join them, until it is another group's turn."""
        for step in count(1):
            if new:
                group.batch.join([answer.reply for answer in new])
            else:
                group.batch.step()
            going = {id(reply) for reply in group.batch.replies}
            group.writing = [answer for answer in group.writing if answer.hear(id(answer.reply) in going)]
            if not group.writing:
                group.batch = self._lm.writing()
            others = any(g.busy for g in self._ring if g is not group)
            if self._closing or self._visitors or (step >= STEPS and others):
                return
            new = self._admitted(group)
            if not group.writing:
                return

    def _admitted(self, group: Group) -> list[Pending]:
        """Take in who waits, as far as there is room."""
        new, group.starved = list[Pending](), False
        while group.waiting and group.batch.joinable:
            answer = group.waiting[0]
            if self._opened(answer):
                if not self._fits(group, answer):
                    break
                group.writing.append(answer)
                new.append(answer)
            group.waiting.popleft()
        return new

    def _opened(self, answer: Pending) -> bool:
        """Whether there is something to write for a question, which is laid out."""
        if answer.wanted:
            try:
                answer.open(self._encoders[answer.question.chat])
            except Refused as refused:
                answer.say(refused)
                return False
            except Exception as failed:
                answer.say(Refused(*_told(failed)))
                return False
        return answer.wanted and (answer.reply.room > 0 or answer.hear(False))

    def _fits(self, group: Group, answer: Pending) -> bool:
        """Whether there is room for one more answer, and no other group that finds none for its first."""
        others = [g for g in self._ring if g is not group]
        if len(group.writing) >= self._rows or any(g.starved for g in others):
            return False
        taken = sum(g.size() for g in others)
        fits = not (taken or group.writing) or taken + group.size(answer) <= self._positions
        group.starved = not fits and not group.writing
        return fits

    def _refuse(self, group: Group, status: int, code: str, sentence: str) -> None:
        """Tell those whose answers are being written that there will be none."""
        for answer in group.writing:
            answer.say(Refused(status, code, sentence))
        group.writing, group.batch = [], self._lm.writing()


def _told(failed: Exception) -> tuple[int, str, str]:
    """What is said of a failure, whose own words may hold those of a question: its kind and place are logged."""
    place = extract_tb(failed.__traceback__)[-1]
    LOG.error("an answer failed: %s in %s, line %s", type(failed).__name__, place.filename, place.lineno)
    return FULL if isinstance(failed, MemoryError | torch.OutOfMemoryError) else FAILED
