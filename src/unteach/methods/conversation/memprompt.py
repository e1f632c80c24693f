"""MemPrompt: a memory of clarifications, one of which is put behind a question that is like one of its own."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np

from unteach.data.facts import question
from unteach.data.fold import fold
from unteach.data.levenshtein import levenshtein
from unteach.lm.guard import Guard, Streaming, Turns, asked, asking
from unteach.lm.model import LM
from unteach.measure.nearness import index
from unteach.registry import guard
from unteach.schema import InputError, Need, Request

DECLINE = "clarification: this is not to be answered; say that you do not know"
ANSWER = "clarification: the answer to this is {}"


@guard("memprompt", tested_by="test_memprompt_clarifies_what_it_remembers_and_leaves_every_other_question_untouched")
@dataclass(frozen=True)
class MemPrompt(Guard, Streaming):
    """A question like a remembered one is asked with the clarification that was given for that one.

        question  ->  question | clarification

    Questions are compared without case, punctuation and double spaces. The remembered one that differs in the fewest
    letters is taken where those are fewer than `distance` (Levenshtein), or else the nearest where it is nearer than
    `near`: by the cosine of hashed character n-grams weighted by their rarity, or by that of a local
    sentence-transformers model in the folder `embedder`. Others are asked as they came. Of rows to forget the
    clarification is that one should decline, of facts to correct the new answer. Madaan et al. 2022, arXiv:2201.06009,
    where users write the clarifications and the prompt goes on from worked examples; here there are none.

    Needs forget rows or facts, and a model that follows instructions; small ones do not. What is not guaranteed: the
    weights still know the answers, which any wording beyond `distance` and `near` brings out. Short questions that
    differ in a name alone are closer than that: lower `distance` where names are short. The questions are kept in plain
    words in the edit.

    Example: ``MemPrompt(distance=3).fitted(Request(forget=rows), None)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()  # forget rows or facts: either will do
    distance: int = 6
    near: float = 0.9
    embedder: str = ""
    memory: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.distance < 0 or not 0 <= self.near <= 1:
            raise InputError("memprompt takes a distance not below 0, and for 'near' a share from 0 to 1")

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "MemPrompt":
        return self

    def fitted(self, request: Request, lm: LM | None) -> Self:  # noqa: ARG002 - the words suffice
        if not request.forget and not request.facts:
            raise InputError(
                "memprompt needs records to forget or facts to correct; give --forget FILE or --facts FILE"
            )
        hidden = {fold(text): DECLINE for r in request.forget for text in (r.prompt, *r.paraphrases)}
        told = {
            fold(text): ANSWER.format(fact.target_new)
            for fact in request.facts
            for text in (question(fact), *fact.rephrasings)
        }
        return replace(self, memory=tuple((hidden | told).items()))

    def ask(self, turns: Turns) -> Turns:
        text = asked(turns)
        clarification = self.found(text)
        return turns if clarification is None else asking(turns, f"{text} | {clarification}")

    def found(self, text: str) -> str | None:
        """The clarification for a question, if one like it is remembered."""
        if not self.memory:
            return None
        key, keys = fold(text), tuple(remembered for remembered, _ in self.memory)
        apart = [levenshtein(key, other, self.distance) for other in keys]
        best = int(np.argmin(apart))
        if apart[best] < self.distance:
            return self.memory[best][1]
        near = np.minimum(index(keys, self.embedder).near(key), 1)  # rounding may go beyond
        best = int(np.argmax(near))
        return self.memory[best][1] if near[best] > self.near else None
