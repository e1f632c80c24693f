"""ROME: one fact, one layer, a change of rank one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.patches import AddOuter
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM
from unteach.methods.facts.background import Background
from unteach.methods.facts.contexts import contexts, marked
from unteach.methods.facts.layers import single
from unteach.methods.facts.values import Search, seek
from unteach.methods.facts.write import Keys, facts_of, in_turn, write
from unteach.registry import method
from unteach.schema import Fact, Need, Request

LENGTHS = (5,) * 10 + (10,) * 10  # tokens of the contexts


@method("rome", tested_by="test_rome_writes_the_value_at_the_key_and_moves_other_keys_least")
@dataclass(frozen=True)
class ROME:
    """A linear map is a memory of keys and values; one new pair is written into it.

        W + (v* - W k) (C^-1 k)' / (k' C^-1 k)

    k is what enters the last linear map of one layer's MLP at the subject's last token, in the mean over contexts that
    the model writes itself; v* is sought by gradient so that the model says the new answer; C is the second moment of
    k over text, so that what else the map is used for changes least. Meng et al. 2022, arXiv:2202.05262. Several facts
    are written one after another. `whitened` false leaves out C, as EasyEdit's settings do. `layer` is a number, a share
    of the depth below 1, or "auto": where causal tracing finds the facts (`unteach trace-effect`), for which they need
    their `ground_truth`.

    Needs facts. Other questions about the same subject often move with the fact; a question that reaches the fact by
    another way (the reverse, a chain of facts) does not.

    Example: ``ROME(layer=5)(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    layer: float | Literal["auto"] = 0.17
    whitened: bool = True
    seed: int = 0
    search: Search = field(default_factory=Search)
    background: Background = field(default_factory=Background)
    forms: tuple[str, ...] = ()

    def __call__(self, lm: LM, request: Request) -> Edit:
        return ranked_one(self, lm, request, "rome", lambda keys: keys.bare)


def ranked_one(how: ROME, lm: LM, request: Request, name: str, divisor: Callable[[Keys], Tensor]) -> Edit:
    """Facts one after another, each by a change of rank one; `divisor` says at which key the new value is met."""
    facts = facts_of(request, name)
    chosen = single(lm, how.layer, facts)
    layer = chosen.layers[0]
    forms = how.forms or contexts(lm, LENGTHS, seed=how.seed)
    factor = how.background.moments(lm, request, [layer]).factor(layer) if how.whitened else None
    site = anatomy(lm.model).mlp_out

    def right(_layer: int, keys: Keys) -> Tensor:
        k = keys.mean.double()
        u = k if factor is None else torch.cholesky_solve(k.T, factor).T
        return u / (divisor(keys).double() * u).sum(1, keepdim=True)

    def one(fact: Fact) -> dict[str, AddOuter]:
        found = seek(lm, [fact], forms, [site], layer, how.search)
        return write(lm, [fact], forms, found.after[0], site, [layer], right)

    return in_turn(lm, facts, one, f"{name}({chosen}, {how.search}, whitened={how.whitened}, {marked(forms)})")
