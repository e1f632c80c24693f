"""Self-debiasing by explanation: the model says which answers rest on nothing, and then answers."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

from unteach.lm.guard import Guard, Session, Turns, asked, asking
from unteach.lm.model import LM
from unteach.measure.choice import options_in
from unteach.registry import guard
from unteach.schema import Message, Need, Request

EXPLAIN = "Explain which answers rely on invalid assumptions. {}"
ANSWER = "Answer the multiple choice question with a single letter. {}"


@guard("selfdebiasexplain", tested_by="test_selfdebiasexplain_asks_for_the_explanation_and_then_for_the_letter")
@dataclass(frozen=True)
class SelfDebiasExplain(Guard):
    """Before it answers a question with lettered options, the model explains which of them are prejudiced.

        user:       Explain which answers rely on invalid assumptions. QUESTION AND OPTIONS
        assistant:  (its explanation)
        user:       Answer the multiple choice question with a single letter. QUESTION AND OPTIONS

    The reply to the second turn leaves, the explanation does not. Turns that came before stay before. A question has
    options where A, B, ... stand before two or more, as in "A. yes" on a line of its own or "(A) yes" anywhere; all
    others are asked as they came. Gallegos et al. 2024, arXiv:2402.01981, without any training; of scores they leave
    out replies that name no letter (`unteach.measure.choice.letter_in`).

    Needs nothing of a request, and a model that follows instructions. It asks the model twice. What is not guaranteed:
    the model is as biased as before wherever no options are listed, and the explanation may be as biased as the answer.

    Example: ``SelfDebiasExplain().fitted(Request(), None)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "Explaining":
        return Explaining()

    def fitted(self, request: Request, lm: LM | None) -> Self:  # noqa: ARG002 - it keeps nothing
        return self


@dataclass
class Explaining(Session):
    """One conversation; `met` is what it was asked while the explanation is awaited."""

    met: Turns = field(default=(), repr=False)

    def ask(self, turns: Turns) -> Turns:
        self.met = turns if options_in(asked(turns)) > 1 else ()
        return asking(turns, EXPLAIN.format(asked(turns))) if self.met else turns

    def reply(self, text: str) -> Turns | str:
        if not self.met:
            return text
        question, explained = asked(self.met), asking(self.met, EXPLAIN.format(asked(self.met)))
        self.met = ()
        return (*explained, Message("assistant", text), Message("user", ANSWER.format(question)))
