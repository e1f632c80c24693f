"""Training again from the record of a training, with most of its gradients corrected instead of computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.methods.exact.analysis.subspace import Subspace, both, reach, subspace, total
from unteach.registry import method
from unteach.schema import Guarantee, InputError, Need, Record, Request

CLAIM = (
    "The rows' part in a short training was estimated and taken off the model; what is left is measured, not bounded. "
    "No mathematical guarantee."
)
STIFFEST = 2.0  # over the rate: descent runs away from a greater curvature

Slope = Callable[[Float[Tensor, " p"]], Float[Tensor, " p"]]  # the sum of rows' gradients at a point
Path = tuple[Float[Tensor, "t p"], Float[Tensor, "s p"]]  # the points of a training, and the mean gradients at them


@method("deltagrad", tested_by="test_deltagrad_with_every_gradient_computed_is_retraining")
@dataclass(frozen=True)
class DeltaGrad:
    """What the forget rows do to a short training, found by going over its record, and taken off the model.

    A gradient descent of `steps` steps on forget and retain rows is recorded, w_0 to w_T, and gone over without the r
    forget rows of all n:

        w'_t+1 = w'_t - lr (n G(w'_t) - sum over forget rows of g(w'_t)) / (n - r)

    G is the mean gradient over all rows. It is computed in the first `burn_in` steps and in every `every`-th after
    them; in between G(w') = G(w) + B (w' - w), with w the point on record and B the Hessian that L-BFGS makes of the
    last `memory` computed differences. Differences, and corrections, that are steeper than a descent of this rate could
    live with are not taken, and the step is computed. Wu et al. 2020, arXiv:2006.14755. The model moves by w'_T - w_T,
    up to `most` times, as far as the retain rows bear: their mean loss rises by `slack` at most. A model whose own
    training is on record would need no such multiple: see `replayed`.

    w are the coordinates of an adapter of `rank` on each linear map from block `layer` on (a share of the depth below
    1); the record holds 2 `steps` such points. With `measured` the training is also done anew, and the guarantee's
    numbers say how far w'_T came from that (`distance`), beside how far w_T is (`distance_before`). Needs forget and
    retain rows.

    Example: ``DeltaGrad(steps=20, every=4)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    steps: int = 15
    lr: float = 0.05
    burn_in: int = 3
    every: int = 4
    memory: int = 2
    most: float = 10_000.0
    slack: float = 0.25
    layer: float = 0.75
    rank: int = 16
    measured: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.every, self.memory, self.rank, self.burn_in) < 1:
            raise InputError("deltagrad wants steps, every, memory, rank and burn_in from 1 on")
        if not (self.lr > 0 and self.most > 0 and self.slack > 0):
            raise InputError("deltagrad wants 'lr', 'most' and 'slack' above 0")

    def __call__(self, lm: LM, request: Request) -> Edit:
        both(request, "deltagrad")
        space = subspace(lm, self.layer, self.rank, self.seed)
        record = self.descended(space, (*request.forget, *request.retain))
        (path, _), computed = replayed(
            record, len(request.forget), len(request.retain), self,
            lambda w: total(space, request.forget, w), lambda w: total(space, request.retain, w),
        )  # fmt: skip
        moved = self.most * (path[-1] - record[0][-1])
        share = reach(lm, request.retain, lambda part: space.weights(part * moved), self.slack)
        numbers = {"computed": float(computed), "times": share * self.most}
        if self.measured:
            anew = self.descended(space, request.retain)[0][-1]
            numbers["distance"] = float((path[-1] - anew).norm())
            numbers["distance_before"] = float((record[0][-1] - anew).norm())
        promise = Guarantee("empirical", claim=CLAIM, numbers=numbers)
        return Edit(lm.digest(), space.patches(share * moved), made_by=str(self), guarantee=promise)

    def descended(self, space: Subspace, records: Sequence[Record]) -> Path:
        """A gradient descent on records from where the model stands, and its record."""
        points, slopes = [torch.zeros(space.size, dtype=torch.float64)], []
        for _ in range(self.steps):
            slopes.append(total(space, records, points[-1]) / len(records))
            points.append(points[-1] - self.lr * slopes[-1])
        return torch.stack(points), torch.stack(slopes)

    def computes(self, step: int) -> bool:
        """Whether the gradient of this step is computed over all rows."""
        return step < self.burn_in or (step - self.burn_in) % self.every == 0


def replayed(record: Path, r: int, left: int, how: DeltaGrad, gone: Slope, kept: Slope) -> tuple[Path, int]:
    """The record of the training without the r rows that go, and how many gradients were computed for it.

    `gone` and `kept` are sums over the rows that go and over those that are left.
    """
    path, slopes = record
    points, found, computed = [path[0]], [], 0
    pairs: list[tuple[Tensor, Tensor]] = []
    for step, slope in enumerate(slopes):
        now = points[-1]
        moved = now - path[step]
        corrected = curved(pairs, moved)
        if how.computes(step) or float(corrected.norm()) > STIFFEST / how.lr * float(moved.norm()):
            rest, computed = kept(now), computed + 1
            change = (rest + gone(now)) / (r + left) - slope
            if float(change @ change) <= STIFFEST / how.lr * float(moved @ change):
                pairs = [*pairs, (moved, change)][-how.memory :] if moved.any() else pairs
        else:
            rest = (r + left) * (slope + corrected) - gone(now)
        found.append(rest / left)
        points.append(now - how.lr * found[-1])
    return (torch.stack(points), torch.stack(found)), computed


def curved(pairs: Sequence[tuple[Tensor, Tensor]], v: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    """B v, B the BFGS Hessian of pairs (s, y) from a start of (y.y / s.y) I of the last; 0 where there is no pair.

    B v = a v - (a S, Y) M^-1 (a S, Y)' v with M = ((a S'S, L), (L', -D)), L and D what lies below and on the diagonal of
    S'Y. Byrd et al. 1994.
    """
    if not pairs:
        return torch.zeros_like(v)
    s, y = (torch.stack(side, 1) for side in zip(*pairs, strict=True))
    crossed = s.T @ y
    start = float(y[:, -1] @ y[:, -1] / crossed[-1, -1])
    below = crossed.tril(-1)
    middle = torch.cat([torch.cat([start * s.T @ s, below], 1), torch.cat([below.T, -crossed.diag().diag()], 1)])
    sides = torch.cat([start * s, y], 1)
    found: Tensor = start * v - sides @ torch.linalg.solve(middle, sides.T @ v)
    return found
