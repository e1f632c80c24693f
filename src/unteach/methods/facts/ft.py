"""FT: a fact learnt as any other text is, by one layer alone."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from unteach.data.facts import question
from unteach.edit.edit import Edit
from unteach.lm.batch import Row
from unteach.lm.model import LM
from unteach.methods.facts.descent import Aim, Descent, descended
from unteach.methods.facts.layers import single
from unteach.methods.facts.lessons import row
from unteach.methods.facts.write import facts_of
from unteach.registry import method
from unteach.schema import Need, Request


@method("ft", tested_by="test_ft_gives_the_weights_of_plain_fine_tuning_of_one_layer_on_the_answer")
@dataclass(frozen=True)
class FT:
    """Plain fine-tuning of the last linear map of one layer's MLP on the new answers, the questions left out.

        minimise  mean over facts of  -log p(new answer | question) / its tokens

    by Adam on the weight and, where there is one, the bias, all facts in one batch, until the loss is below `enough`.
    Known as FT-M: Zhang et al. 2024, arXiv:2401.01286. `layer` is a block's number, or below 1 a share of the depth
    (published: 21 of 28 or 32); published with the `rate` 5e-4.

    Needs facts. Nothing holds other answers in place: `ftl` sets a bound. A fact is learnt where it is asked in these
    words; what follows from it is not.

    Example: ``FT(layer=0.7)(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    layer: float | Literal["auto"] = 0.7
    descent: Descent = field(default_factory=Descent)

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts = facts_of(request, "ft")
        chosen = single(lm, self.layer, facts)
        (layer,) = chosen.layers
        aims = [in_order(row(lm, question(fact), fact.target_new)) for fact in facts]
        patches = descended(lm, aims, layer, self.descent)
        return Edit(base=lm.digest(), weights=patches, made_by=f"ft({chosen}, {self.descent})")


def in_order(asked: Row) -> Aim:
    """Each token of the answer behind those before it."""
    answer = asked.ids[asked.start :]
    return Aim(asked, tuple(range(len(answer))), answer)
