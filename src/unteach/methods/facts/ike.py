"""IKE: the new fact, and examples of what to make of one, said before the question."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from unteach.edit.edit import Edit
from unteach.lm.guard import Guard, Streaming, Turns, asked, asking
from unteach.lm.model import LM
from unteach.measure.nearness import index, named
from unteach.methods.facts.remembered import ASKED, Remembered, remembered, without
from unteach.methods.facts.write import facts_of
from unteach.registry import guard, method
from unteach.schema import InputError, Need, Request


@guard("ike", tested_by="test_ike_puts_the_fact_and_the_nearest_examples_before_a_question_in_scope")
@dataclass(frozen=True)
class InContext(Guard, Streaming):
    """A question about a remembered fact is asked with the fact and `k` examples before it; others pass as they are.

    See the method of the same name. Zheng et al. 2023, arXiv:2305.12740.
    """

    memory: tuple[Remembered, ...] = field(default=(), repr=False)
    k: int = 16
    near: float = 0.3
    names: float = 0.8
    embedder: str = ""

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "InContext":
        return self

    def ask(self, turns: Turns) -> Turns:
        text = asked(turns)
        fact = self.found(text)
        return turns if fact is None else asking(turns, "\n\n".join([*self._examples(fact, text), fact.before(text)]))

    def found(self, text: str) -> Remembered | None:
        """The fact that a question is about, if there is one: it names the subject and is near one of the wordings."""
        wordings = [(fact, asked) for fact in self.memory for asked in fact.asked]
        if not wordings:
            return None
        near = index(tuple(asked for _, asked in wordings), self.embedder).near(text)
        inside = [named(fact.subject, text) >= self.names for fact, _ in wordings]
        best = int(np.argmax(np.where(inside, near, -1.0)))
        return wordings[best][0] if inside[best] and near[best] >= self.near else None

    def without(self, fact: str) -> "InContext":
        """The same without one fact, named by its id."""
        return replace(self, memory=without(self.memory, fact))

    def _examples(self, fact: Remembered, text: str) -> list[str]:
        """The nearest examples of other facts, the nearest last: a copy, other wordings, and questions beside."""
        others = [other for other in self.memory if other.id != fact.id]
        shown = [
            f"{other.told}\n{ASKED.format(asked)} {answer}"
            for other in others
            for asked, answer in (*((asked, other.answer) for asked in other.asked), *other.beside)
        ]
        if not shown or not self.k:
            return []
        near = index(tuple(shown), self.embedder).near(fact.before(text))
        return [shown[n] for n in np.argsort(-near, kind="stable")[: self.k][::-1]]


@method("ike", tested_by="test_ike_puts_the_fact_and_the_nearest_examples_before_a_question_in_scope")
@dataclass(frozen=True)
class IKE:
    """Nothing in the model is changed: it is told the new fact whenever it is asked about it.

    Before a question in scope stand the `k` nearest examples of other facts, and the fact:

        New Fact: PROMPT ANSWER
        Prompt: QUESTION

    An example is such a pair with its answer: the fact's own prompt, another wording, or a question beside it that
    keeps its answer. Zheng et al. 2023, arXiv:2305.12740, with examples from a training set; here they are those of the
    request's other facts. There the fact to be used is given with each question; here it has to be found: a question is
    in scope where it holds the share `names` of the runs of characters of a fact's subject and is as `near` as that to
    one of its wordings. Nearness is the cosine of hashed character n-grams weighted by their rarity, or that of a local
    sentence-transformers model in the folder `embedder`. A question out of scope is asked as it came.

    Needs facts, and a model that goes by what stands before a question; small ones do not. What is not guaranteed: the
    weights still know the old answers, which a question that does not name the subject brings out, as does whoever
    takes the guard off; and the facts are kept in plain words in the edit.

    Example: ``IKE(k=16)(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    guarantee: ClassVar[str] = "suppression"
    k: int = 16
    near: float = 0.3
    names: float = 0.8
    embedder: str = ""

    def __post_init__(self) -> None:
        if self.k < 0 or not 0 <= self.near <= 1 or not 0 < self.names <= 1:
            raise InputError("ike takes k examples, not fewer than 0, and shares from 0 to 1 for 'near' and 'names'")

    def __call__(self, lm: LM, request: Request) -> Edit:
        memory = remembered(facts_of(request, "ike"))
        worn = InContext(memory, self.k, self.near, self.names, self.embedder)
        return Edit(base=lm.digest(), guards=(worn,), made_by=f"ike({_about(worn)})")


def _about(worn: InContext) -> str:
    how = worn.embedder or "letters"
    return f"{len(worn.memory)} facts, k={worn.k}, near={worn.near:g}, names={worn.names:g}, embedder={how}"
