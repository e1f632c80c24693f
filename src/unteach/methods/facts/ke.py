"""KnowledgeEditor: a network reads the correction and says which parts of the gradient to take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.methods.facts.conditioners import Conditioners
from unteach.methods.facts.editor import edited, ready
from unteach.methods.facts.practice import Practice
from unteach.methods.facts.write import facts_of, in_turn
from unteach.registry import method
from unteach.schema import InputError, Need, Request


@method("ke", tested_by="test_knowledge_editor_gates_the_gradient_and_adds_a_term_of_rank_one")
@dataclass(frozen=True)
class KnowledgeEditor:
    """A network that has read "old answer >> new answer || question" gates the gradient of each weight, and adds to it.

        W + sigma(eta) * (gradient * A + B),   A = softmax(a) c',   B = softmax(b) d'

    a, b (over what a map writes), c, d (over what it reads) and eta come from the last states of an LSTM that reads
    the text from both ends in the model's own embeddings, through two layers for each weight. The gradient is that of
    -log p(new answer) of one fact; a gradient that is a sum of few outer products stays one when it is gated, so the
    change of W has one rank more than the fact has tokens. Before practice it is a step of gradient descent of
    `first_step`. Trained as `mend`, whose maps it also changes. De Cao et al. 2021, arXiv:2104.08164.

    Needs facts; the old answer, where a fact has none, is left out of what is read. `editor` is the folder of an editor
    that `unteach train-editor` wrote, which serves one model only; without it one is trained here on the facts and on
    the rows to keep with each other's answers, for `steps` steps (60), often too few for an answer of many new words.
    Several facts are written one after another, each with the gradient of the model that has the ones before; the editor
    has practised on the unchanged model alone, so that later ones are less sure.

    Example: ``KnowledgeEditor(editor="editors/ke")(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    editor: str = ""
    blocks: int = 3
    hidden: int = 512
    first_step: float = 0.1
    practice: Practice = field(default_factory=Practice)

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.hidden < 2 or not self.first_step > 0:
            raise InputError(
                "an editor changes at least one block, has at least 2 hidden units, and a first step above 0"
            )

    @property
    def sizes(self) -> dict[str, float]:
        """What a newborn editor is made by, apart from its maps."""
        return {"hidden": self.hidden, "first_step": self.first_step}

    @staticmethod
    def newborn(lm: LM, maps: Mapping[str, tuple[int, int]], sizes: Mapping[str, float]) -> Conditioners:
        """An editor that has practised nothing."""
        width = int(lm.model.get_input_embeddings().weight.shape[1])
        return Conditioners(maps, width, int(sizes["hidden"]), sizes["first_step"])

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts = facts_of(request, "ke")
        made = ready(self, lm, request)
        return in_turn(lm, facts, lambda fact: edited(lm, made, [fact]), f"ke({made.mark})")
