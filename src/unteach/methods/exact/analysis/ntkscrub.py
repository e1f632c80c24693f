"""Scrubbing by a linear model of the model: what training without the rows would have given there."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.methods.exact.analysis.subspace import both, jacobian, margin, reach, subspace
from unteach.registry import method
from unteach.schema import EMPIRICAL, InputError, Need, Request

STEPS = 100
TOLERANCE = 1e-10  # of a gradient's length, a row


@method("ntkscrub", tested_by="test_ntkscrub_of_a_linear_model_is_retraining")
@dataclass(frozen=True)
class NTKScrub:
    """One step to where a linear model of the model, trained without the forget rows, would stand.

    A row's margin f is the mean over its answer tokens of log p / (1 - p); near the weights w it is taken to be linear,
    f(w') = f + g.(w' - w). With the loss log(1 + exp(-f)) and a pull of weight decay towards the start w0,

        w' = argmin over w' of sum over retain rows of log(1 + exp(-f(w'))) + (lambda / 2) |w' - w0|^2.

    w0 need not be known: were w such a minimum over all rows, w0 = w - sum over all rows of s g / lambda, with
    s = 1 / (1 + exp(f)). `decay` is lambda in units of a row's mean squared gradient: the smaller, the further back. The
    problem is solved in the span of the gradients, by their n x n products. Golatkar et al. 2020, arXiv:2003.02960, with
    the logistic loss in place of the squared one, and one output a row in place of one a class. w moves in the `rank`
    directions of each linear map from block `layer` on (a share of the depth below 1), and as far of the way as the
    retain rows bear: their mean loss rises by `slack` at most. Taken whole, it is exact for a linear model at its
    minimum, and not for a language model: measure what is left. Needs forget and retain rows; the gradients of all must
    fit side by side.

    Example: ``NTKScrub(decay=0.01)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    decay: float = 0.01
    layer: float = 0.75
    rank: int = 16
    slack: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.decay > 0 and self.slack > 0 and self.rank > 0):
            raise InputError("ntkscrub wants 'decay', 'slack' and 'rank' above 0")

    def __call__(self, lm: LM, request: Request) -> Edit:
        both(request, "ntkscrub")
        space = subspace(lm, self.layer, self.rank, self.seed)
        margins, slopes = jacobian(space, (*request.forget, *request.retain), margin)
        kept = torch.arange(len(margins)) >= len(request.forget)
        pull = self.decay * float(slopes.square().sum()) / len(slopes)
        moved = retrained(slopes, margins, kept, pull)
        share = reach(lm, request.retain, lambda part: space.weights(part * moved), self.slack)
        made_by = f"{self}, {share:.3g} of the step"
        return Edit(lm.digest(), space.patches(share * moved), made_by=made_by, guarantee=EMPIRICAL)


def retrained(
    slopes: Float[Tensor, "n p"], margins: Float[Tensor, " n"], kept: Bool[Tensor, " n"], pull: float
) -> Float[Tensor, " p"]:
    """From the minimum over all rows to that over the kept ones, for margins that are linear; lambda goes with n."""
    products = slopes @ slopes.T
    shares = torch.sigmoid(-margins) / pull
    at_start = margins - products @ shares
    left = pull * float(kept.double().mean())
    values, vectors = torch.linalg.eigh(products[kept][:, kept])
    features = vectors * values.clamp_min(0).sqrt()
    found = _minimum(features, at_start[kept], left)
    change = -shares
    change[kept] += torch.sigmoid(-(at_start[kept] + features @ found)) / left
    return change @ slopes


def _minimum(features: Float[Tensor, "n k"], start: Float[Tensor, " n"], pull: float) -> Float[Tensor, " k"]:
    """argmin over v of sum log(1 + exp(-(start + features v))) + (pull / 2) |v|^2, by Newton's method."""

    def height(v: Tensor) -> float:
        return float(softplus(-(start + features @ v)).sum() + pull / 2 * v @ v)

    found = torch.zeros_like(start)
    for _ in range(STEPS):
        wrong = torch.sigmoid(-(start + features @ found))
        slope = pull * found - features.T @ wrong
        if slope.norm() <= TOLERANCE * len(start):
            break
        curved = (features.T * (wrong * (1 - wrong))) @ features + pull * torch.eye(len(start), dtype=start.dtype)
        step, size = torch.linalg.solve(curved, slope), 1.0
        while size > TOLERANCE and height(found - size * step) > height(found) - 0.25 * size * float(slope @ step):
            size /= 2
        found = found - size * step
    return found
