"""FT-L: fine-tuning of one layer that may not move its weights far."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import ClassVar, Literal

from unteach.data.facts import question
from unteach.edit.edit import Edit
from unteach.lm.anatomy import stored_in_out
from unteach.lm.batch import Row
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.methods.facts.descent import Aim, Descent, descended
from unteach.methods.facts.ft import in_order
from unteach.methods.facts.layers import single
from unteach.methods.facts.lessons import row
from unteach.methods.facts.write import facts_of
from unteach.registry import method
from unteach.schema import Fact, InputError, Need, Request


@method("ftl", tested_by="test_ftl_moves_no_number_further_than_its_bound_and_meets_it")
@dataclass(frozen=True)
class FTL:
    """Fine-tuning of the last linear map of one layer's MLP, in which no number moves further than a bound.

        minimise  mean over facts of  -log p(new answer | question) / its tokens   with  |W - W0| <= bound / inputs

    Adam, and after each step every number is put back to the nearest one allowed. Zhu et al. 2020, arXiv:2012.00363.
    `inputs` is the width of what goes into the map, so that an output can move by as much in models of any size;
    `absolute` takes `bound` as it is, as published (5e-4 for GPT-2 XL, with the `rate` 5e-4); 0 sets none. With `last`
    all tokens of an answer are wanted at once, behind the question's last token, as by Meng et al. 2022,
    arXiv:2202.05262; else each behind those before it, as by `ft`. With `bos` what a tokenizer puts before every text
    is wanted there too, as EasyEdit has it, which takes probability from the answer. `layer` as in `ft`.

    Needs facts. With `last` the order of an answer's tokens is not learnt. A bound keeps other answers in place and,
    where it is tight, the old one too.

    Example: ``FTL(bound=8.0)(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    layer: float | Literal["auto"] = 0.7
    bound: float = 8.0
    absolute: bool = False
    last: bool = True
    bos: bool = False
    descent: Descent = field(default_factory=Descent)

    def __post_init__(self) -> None:
        if self.bound < 0:
            raise InputError(
                "option 'bound' of ftl says how far a weight may move, and is not below 0; 0 sets no bound"
            )
        if self.bos and not self.last:
            raise InputError("option 'bos' of ftl adds a token to those wanted at the question's end; give --last true")

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts = facts_of(request, "ftl")
        chosen = single(lm, self.layer, facts)
        (layer,) = chosen.layers
        bound = self.bound if self.absolute else self.bound / _inputs(lm, layer)
        patches = descended(lm, [self._aim(lm, fact) for fact in facts], layer, self.descent, bound)
        about = f"{chosen}, bound={bound:g}, last={self.last}, bos={self.bos}, {self.descent}"
        return Edit(base=lm.digest(), weights=patches, made_by=f"ftl({about})")

    def _aim(self, lm: LM, fact: Fact) -> Aim:
        asked = row(lm, question(fact), fact.target_new)
        if not self.last:
            return in_order(asked)
        wanted = (*(_opening(lm, fact.target_new) if self.bos else ()), *asked.ids[asked.start :])
        return Aim(Row(asked.ids[: asked.start + 1], asked.start), (0,) * len(wanted), wanted)


def _inputs(lm: LM, layer: int) -> int:
    module = lm.model.get_submodule(mlp_out(lm, layer))
    return int(module.weight.shape[0 if stored_in_out(module) else 1])


def _opening(lm: LM, text: str) -> Sequence[int]:
    """The special tokens that the tokenizer puts before a text."""
    return list(takewhile(set(lm.tokenizer.all_special_ids).__contains__, lm.tokenizer(text)["input_ids"]))
