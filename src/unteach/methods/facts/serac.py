"""SERAC: a memory of facts, a scope classifier, and a counterfactual model that answers in its scope."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.lm.beside import Beside, alike, opened
from unteach.lm.guard import Guard, Streaming, Turns, asked, asking
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.facts.remembered import Remembered, remembered, without
from unteach.methods.facts.scope import fitted, likely, sights
from unteach.methods.facts.write import facts_of
from unteach.registry import guard, method
from unteach.schema import InputError, Need, Request

ROWS = 256  # rows to keep that the scope is fitted to


@guard("serac", tested_by="test_serac_leaves_what_is_out_of_scope_and_an_empty_memory_leaves_everything")
@dataclass(frozen=True)
class Scoped(Guard):
    """A question that is taken for one about a remembered fact is answered by the counterfactual model.

    See the method of the same name. Mitchell et al. 2022, arXiv:2206.06520.
    """

    weighs: ClassVar[bool] = True
    memory: tuple[Remembered, ...] = field(default=(), repr=False)
    weights: tuple[float, ...] = ()
    threshold: float = 0.5
    embedder: str = ""
    counterfactual: str = ""
    digest: str = ""

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "Answering":
        return Answering(self)

    def found(self, text: str) -> Remembered | None:
        """The fact that a question is about, if the classifier takes it for one."""
        if not self.memory:
            return None
        likeliness = likely(sights(self.memory, text, self.embedder), self.weights)
        best = int(np.argmax(likeliness))
        return self.memory[best] if likeliness[best] >= self.threshold else None

    def without(self, fact: str) -> "Scoped":
        """The same without one fact, named by its id."""
        return replace(self, memory=without(self.memory, fact))


@dataclass
class Answering(Streaming):
    """One conversation; in scope, a counterfactual model of its own reads along, with a cache of its own."""

    guard: Scoped
    met: bool = False
    beside: Beside | None = None

    def ask(self, turns: Turns) -> Turns:
        fact = self.guard.found(asked(turns))
        self.met, self.beside = fact is not None, None
        return turns if fact is None else asking(turns, fact.before(asked(turns)))

    def logits(self, ids: Tensor, logits: Tensor) -> Tensor:
        if not (self.met and self.guard.counterfactual):
            return logits
        if self.beside is None:
            self.beside = Beside(opened(self.guard.counterfactual, self.guard.digest))
        return self.beside.after(ids).to(logits)


@method("serac", tested_by="test_serac_leaves_what_is_out_of_scope_and_an_empty_memory_leaves_everything")
@dataclass(frozen=True)
class SERAC:
    """Nothing in the model is changed: questions in the scope of a remembered fact are answered by another model.

        answer = counterfactual(fact, question)  if max over facts of p(in scope) >= threshold,  else model(question)

    The scope classifier is a logistic regression of p over whether a question names a fact's subject and, that left
    out, how much nearer it is to the fact's wordings than to the questions beside it. It is fitted here, on the facts'
    rephrasings against the questions beside them, the other facts' and the rows to keep. Nearness is the cosine of
    hashed character n-grams weighted by their rarity, or that of a local sentence-transformers model in the folder
    `embedder`. The counterfactual model reads "New Fact: PROMPT ANSWER" and the question; it is the model itself, or
    the one in the folder `counterfactual`, which must have the same tokenizer. Mitchell et al. 2022, arXiv:2206.06520,
    where classifier and counterfactual model are trained transformers; here the first is fitted and the second is
    taken as it is.

    Needs facts; where none has questions beside it that name its subject, whatever names it is in scope. What is not
    guaranteed: the weights still know the old answers, which a question that the classifier misses brings out, as does
    whoever takes the guard off. A model that does not go by what stands before a question keeps its old answers in
    scope too. The facts are kept in plain words in the edit, and rephrasings that the scope was fitted to no longer
    measure it.

    Example: ``SERAC(threshold=0.5)(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    guarantee: ClassVar[str] = "suppression"
    threshold: float = 0.5
    embedder: str = ""
    counterfactual: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise InputError("option 'threshold' of serac is a probability between 0 and 1")

    def __call__(self, lm: LM, request: Request) -> Edit:
        memory = remembered(facts_of(request, "serac"))
        others = tuple(dict.fromkeys(r.prompt for r in request.retain))[:ROWS]
        folder = self.counterfactual
        digest = alike(lm, load(folder), folder).digest() if folder else ""
        weights = fitted(memory, others, self.embedder)
        worn = Scoped(memory, weights, self.threshold, self.embedder, self.counterfactual, digest)
        about = f"{len(memory)} facts, threshold={self.threshold:g}, embedder={self.embedder or 'letters'}, "
        about += f"counterfactual={digest[:16] or 'the model itself'}"
        return Edit(base=lm.digest(), guards=(worn,), made_by=f"serac({about})")
