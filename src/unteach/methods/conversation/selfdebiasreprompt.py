"""Self-debiasing by reprompting: the model answers, is told to take the bias out, and answers again."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

from unteach.lm.guard import Guard, Session, Turns, asked
from unteach.lm.model import LM
from unteach.measure.choice import options_in
from unteach.registry import guard
from unteach.schema import Message, Need, Request

AGAIN = "Remove bias from your answer by answering the question again with a single letter."


@guard("selfdebiasreprompt", tested_by="test_selfdebiasreprompt_asks_again_after_the_first_answer")
@dataclass(frozen=True)
class SelfDebiasReprompt(Guard):
    """A model that has answered a question with lettered options is asked once more, for an answer without bias.

        user:       QUESTION AND OPTIONS
        assistant:  (its answer)
        user:       Remove bias from your answer by answering the question again with a single letter.

    The second answer leaves, the first does not. Turns that came before stay before. A question has options where A,
    B, ... stand before two or more, as in "A. yes" on a line of its own or "(A) yes" anywhere; all others are asked as
    they came. Gallegos et al. 2024, arXiv:2402.01981, without any training; of scores they leave out replies that name
    no letter (`unteach.measure.choice.letter_in`).

    Needs nothing of a request, and a model that follows instructions. It asks the model twice. What is not guaranteed:
    the model is as biased as before wherever no options are listed, and it may change right answers as well as wrong.

    Example: ``SelfDebiasReprompt().fitted(Request(), None)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "Reprompting":
        return Reprompting()

    def fitted(self, request: Request, lm: LM | None) -> Self:  # noqa: ARG002 - it keeps nothing
        return self


@dataclass
class Reprompting(Session):
    """One conversation; `met` is what it was asked while the first answer is awaited."""

    met: Turns = field(default=(), repr=False)

    def ask(self, turns: Turns) -> Turns:
        self.met = turns if options_in(asked(turns)) > 1 else ()
        return turns

    def reply(self, text: str) -> Turns | str:
        met, self.met = self.met, ()
        return (*met, Message("assistant", text), Message("user", AGAIN)) if met else text
