"""Taking out rows' influence while other rows are weighed anew, so that what was asked to stay does."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.methods.exact.analysis.subspace import both, jacobian, loss, reach, subspace
from unteach.registry import method
from unteach.schema import EMPIRICAL, InputError, Need, Request


@method("puma", tested_by="test_puma_leaves_the_criterion_and_without_weights_is_the_influence_of_the_rows")
@dataclass(frozen=True)
class PUMA:
    """The influence of the forget rows taken out in one step, with retain rows weighed anew so that their losses stay.

        w' = w + (share / n) H^-1 (sum_F g - sum_R d g)
        d  = argmin over d of |change of the retain rows' losses to first order|^2 + ridge |d|^2

    g is a row's gradient, H the mean of g g' over all n rows, plus `damping` times their mean squared length. d are the
    weights that the retain rows gain; with `ridge` unbounded they gain none, and w' is what influence functions predict
    of leaving rows out. Wu et al. 2022, arXiv:2203.00846, who weigh for one criterion of the whole model; here it is
    the loss of each retain row, and the step goes as far as these bear: their mean rises by `slack` at most. w moves in
    the `rank` directions of each linear map from block `layer` on (a share of the depth below 1). First order: beyond
    small steps it predicts nothing, so measure. Needs forget and retain rows; the gradients of all must fit side by
    side.

    Example: ``PUMA(damping=0.05)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    damping: float = 0.1
    ridge: float = 1e-6
    layer: float = 0.75
    rank: int = 16
    slack: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.damping > 0 and self.ridge > 0 and self.slack > 0 and self.rank > 0):
            raise InputError("puma wants 'damping', 'ridge', 'slack' and 'rank' above 0")

    def __call__(self, lm: LM, request: Request) -> Edit:
        both(request, "puma")
        space = subspace(lm, self.layer, self.rank, self.seed)
        _, slopes = jacobian(space, (*request.forget, *request.retain), loss)
        kept = torch.arange(len(slopes)) >= len(request.forget)
        moved = patch(slopes, kept, self.damping, self.ridge)
        share = reach(lm, request.retain, lambda part: space.weights(part * moved), self.slack)
        made_by = f"{self}, {share:.3g} of the step"
        return Edit(lm.digest(), space.patches(share * moved), made_by=made_by, guarantee=EMPIRICAL)


def patch(
    slopes: Float[Tensor, "n p"], kept: Bool[Tensor, " n"], damping: float, ridge: float
) -> Float[Tensor, " p"]:  # fmt: skip
    """The step, from the rows' gradients; H^-1 g is g' (K / n + damping)^-1, K the gradients' products."""
    n = len(slopes)
    products = slopes @ slopes.T
    products = products / products.diagonal().mean()  # scale goes: the step's own is put back below
    solve = torch.linalg.inv(products / n + damping * torch.eye(n, dtype=slopes.dtype)) / n
    felt = products[kept] @ solve  # what a weight on each row does to the retain rows' losses
    asked = felt[:, ~kept].sum(1)
    own = felt[:, kept]
    weights = torch.linalg.solve(own.T @ own + ridge * torch.eye(len(asked), dtype=slopes.dtype), own.T @ asked)
    change = torch.ones(n, dtype=slopes.dtype)
    change[kept] = -weights
    moved: Tensor = (solve @ change) @ slopes / slopes.square().sum(1).mean()
    return moved
