"""Selective synaptic dampening: weights that matter more to the forget rows become smaller."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.patches import Scale
from unteach.lm.model import LM
from unteach.measure.fisher import moments
from unteach.registry import method
from unteach.schema import InputError, Need, Request


@method("ssd", tested_by="test_ssd_dampens_by_its_formula_and_leaves_every_other_weight_bit_for_bit")
@dataclass(frozen=True)
class SSD:
    """Every weight that the forget rows depend on much more than other rows do is multiplied by a factor below 1.

        w := min(dampening * F_o / F_f, 1) * w   where   F_f > alpha * F_o,   and else w stays

    F is the diagonal of the empirical Fisher matrix, the mean over rows of the squared gradient of a row's loss, which
    is the mean over its answer tokens: F_f of the forget rows, F_o of the retain rows or, with `against` all, of both
    together. Foster et al. 2023, arXiv:2308.07707, who take all; F_f / F_o is then at most the number of all rows over
    that of the forget rows, and `alpha` must lie below it for anything to happen. One pass over each set, no training.
    Needs forget and retain rows.

    It looks at one weight at a time, so that weights that hold something only together escape it. A weight that the
    other rows never use, such as the embedding of a word that only forget rows hold, becomes 0.

    Example: ``SSD(alpha=10.0, dampening=1.0)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    alpha: float = 10.0
    dampening: float = 1.0
    against: Literal["retain", "all"] = "retain"

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and self.dampening >= 0):
            raise InputError("ssd wants 'alpha' above 0 and 'dampening' from 0 on")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "ssd", "forget", "retain")
        names = [*lm.parameters()]
        others = [*request.forget, *request.retain] if self.against == "all" else request.retain
        gone, other = (moments(lm, rows, names).square for rows in (request.forget, others))
        by = {n: factors(gone[n], other[n], self.alpha, self.dampening) for n in names}
        weights = {n: (Scale(b),) for n, b in by.items() if bool((b != 1).any())}
        if not weights:
            raise InputError(f"no weight matters {self.alpha:g} times as much to the records to forget; lower 'alpha'")
        return Edit(lm.digest(), weights, made_by=str(self))


def factors(
    gone: Float[Tensor, "*S"], other: Float[Tensor, "*S"], alpha: float, dampening: float
) -> Float[Tensor, "*S"]:
    """What each weight is multiplied by: below 1 where the forget rows say `alpha` times as much of it as others do."""
    return torch.where(gone > alpha * other, (dampening * other / gone).clamp(max=1.0), 1.0)
