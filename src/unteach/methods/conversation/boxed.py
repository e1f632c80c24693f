"""Boxed: behind one answer stand a router, workers, a composer and a filter."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from unteach.data.subjects import subject_of
from unteach.lm.guard import LOG, Guard, Session, Turns, asked, asking
from unteach.lm.model import LM
from unteach.methods.conversation.box import checks, workers
from unteach.methods.conversation.box.rules import Kept, Rules, about, assigned
from unteach.registry import guard
from unteach.schema import InputError, Need, Request


@guard("boxed", tested_by="test_boxed_takes_every_path_and_lets_out_what_its_composer_drafted")
@dataclass(frozen=True)
class Boxed(Guard):
    """A question is routed to workers that see their part of it alone; a composer drafts the answer from what they say.

        question -> router -> worker, worker ... -> composer -> filter -> answer

    Rules route first. A question that names a subject of the rows to forget (the share `names` of its runs of
    characters) or is as `near` as that to one of theirs goes to `trivia`, which has orders not to know; a text that
    breaks off, and does either or holds `run` words of an answer, to `completion`, which has orders to invent. Sentences
    beside it, and all other questions, go to `retain`, which has no orders and does not see the turns that were about a
    row. With `router` set to "model" the model itself chooses where no rule speaks; its reply is read for names of
    workers, and anything else in it means `refusal`, a fixed sentence.

    What a worker says passes a check of its own, and becomes the fixed sentence where it fails. `trivia` and
    `completion` say no word of their orders; `trivia` none that tells an answer; `completion` no name or number of one
    and no four of its words in a row; `retain` no `run` of them, and no subject that the user has not named. The
    composer is the model with a policy and the workers' words, without the question and their orders; where it adds a
    word of its policy or of an answer, their words stand as they are, as they do with ``compose=False``. The check of
    `retain` comes last, over the whole. Nearness is that of letters, or of a sentence-transformers model in the folder
    `embedder`.
    Reference: Liu 2024, "Machine Unlearning in 2024", which sketches such a system under the name "boxed".

    Needs forget rows, and a model that follows instructions. What `retain` alone has answered is not composed: a plain
    question costs one generation, one about a row two, a mixed one three, the model as router one more. Nothing leaves
    before the last has ended. What is not guaranteed: the weights know all
    of it. A question in words that no rule sees reaches `retain`, whose check finds words and names and no meaning; and
    the rows are kept in plain words in the edit.

    Example: ``Boxed(router="model").fitted(Request(forget=rows), None)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    router: str = "rules"
    compose: bool = True
    names: float = 0.8
    near: float = 0.7
    run: int = 8
    embedder: str = ""
    rows: tuple[Kept, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.router not in ("rules", "model"):
            raise InputError("option 'router' of boxed is rules or model")
        if not 0 < self.names <= 1 or not 0 < self.near <= 1 or self.run < 2:
            raise InputError("boxed takes shares up to 1 for 'names' and 'near', and a 'run' of at least 2 words")

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "Boxing":
        return Boxing(self)

    def fitted(self, request: Request, lm: LM | None) -> Self:  # noqa: ARG002 - the words suffice
        rows = (Kept(r.subject or subject_of(r), r.prompt, r.answer) for r in request.forget)
        return replace(self, rows=tuple(dict.fromkeys(rows)))

    @property
    def rules(self) -> Rules:
        return Rules(self.names, self.near, self.run, self.embedder)

    def route(self, question: str, said: str | None = None) -> tuple[str, ...]:
        """The workers for a question; `said` is what a model said that was asked to choose."""
        return tuple(worker for worker, _ in self.parts(question, said))

    def parts(self, question: str, said: str | None = None) -> tuple[tuple[str, str], ...]:
        """The workers for a question, each with its part of it."""
        names = ("retain",) if said is None else workers.chosen(said)
        return assigned(question, self.rows, self.rules) or tuple((name, question) for name in names)


@dataclass
class Boxing(Session):
    """One conversation; `hops` are those who had a hand in its answer, in their order, and hold nothing of it."""

    box: Boxed
    hops: list[str] = field(default_factory=list)
    turns: Turns = field(default=(), repr=False)
    waiting: list[tuple[str, str]] = field(default_factory=list, repr=False)
    outputs: list[str] = field(default_factory=list, repr=False)

    def ask(self, turns: Turns) -> Turns | str:
        if not self.box.rows:
            return turns
        self.turns, question = turns, asked(turns)
        self._hop("router")
        if self.box.router == "model" and not assigned(question, self.box.rows, self.box.rules):
            return workers.choosing(tuple(dict.fromkeys(r.subject for r in self.box.rows if r.subject)), question)
        self.waiting = list(self.box.parts(question))
        return self._next()

    def reply(self, text: str) -> Turns | str:
        if not self.box.rows:
            return text
        if self.hops[-1] == "composer":
            return self._last(text)
        if self.waiting:
            worker, part = self.waiting.pop(0)
            self.outputs.append(self._passed(worker, part, text))
        else:
            self.waiting = list(self.box.parts(asked(self.turns), text))
        return self._next()

    def _next(self) -> Turns | str:
        """What the next one is asked: a worker, or the composer where all of them have spoken."""
        while self.waiting and self.waiting[0][0] == "refusal":
            self._hop(self.waiting.pop(0)[0])
            self.outputs.append(workers.REFUSAL)
        if self.waiting:
            worker, part = self.waiting[0]
            self._hop(worker)
            return self._alone(part) if worker == "retain" else workers.ordered(worker, part)
        if self.box.compose and set(self.outputs) != {workers.REFUSAL} and set(self.hops) - {"router", "retain"}:
            self._hop("composer")
            return workers.composing(self.outputs)
        return self._last(workers.joined(self.outputs))

    def _alone(self, part: str) -> Turns:
        """The conversation without the turns that were about a row and what was answered to them."""
        left, dropped = list[int](), False
        for number, turn in enumerate(self.turns[:-1]):
            if turn.role == "user" or not dropped:
                dropped = turn.role != "system" and bool(about(turn.content, self.box.rows, self.box.rules))
            if not dropped:
                left.append(number)
        return asking((*(self.turns[n] for n in left), self.turns[-1]), part)

    def _passed(self, worker: str, part: str, text: str) -> str:
        """What a worker said, or the fixed sentence where its check fails."""
        rows, said = about(part, self.box.rows, self.box.rules), f"{part}\n{workers.DENIAL}"
        if worker == "retain":
            bad = self._leaks(text)
        else:
            check = checks.tells if worker == "trivia" else checks.goes_on
            bad = checks.echoes(text, workers.ORDERS[worker], said) or check(text, rows or self.box.rows, said)
        if bad:
            self._hop("check")
        return workers.REFUSAL if bad else text

    def _last(self, text: str) -> str:
        """The answer, when the last check has seen it."""
        plain = workers.joined(self.outputs)
        heard = f"{self._said}\n{plain}\n{workers.DENIAL}"
        if text != plain:
            rows = about(asked(self.turns), self.box.rows, self.box.rules)
            if checks.echoes(text, workers.POLICY, heard) or checks.tells(text, rows, heard) or self._leaks(text):
                self._hop("check")
                text = plain
        self._hop("filter")
        return workers.REFUSAL if self._leaks(text) else text

    def _leaks(self, text: str) -> bool:
        rows = self.box.rows
        return checks.recites(text, rows, self._said, self.box.run) or checks.names(text, rows, self._said)

    @property
    def _said(self) -> str:
        """All that the user said."""
        return "\n".join(turn.content for turn in self.turns if turn.role == "user")

    def _hop(self, name: str) -> None:
        LOG.debug("boxed: %s", name)
        self.hops.append(name)
