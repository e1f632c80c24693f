"""A logistic head whose noise hides what a deletion leaves behind."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, sqrt
from typing import ClassVar

import numpy as np
from scipy.linalg import eigvalsh

from unteach.lm.heads import Head, Table
from unteach.methods.exact.guarantees import indistinguishable
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.heads.logistic import (
    SMOOTHNESS,
    TOLERANCE,
    Curvature,
    Loss,
    Weights,
    gaussian,
    minimise,
    nothing,
    prepared,
    released,
)  # fmt: skip
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError

ASSUMPTIONS = (
    "the features come from a model that did not learn from the rows; rows are at most 1 long (longer ones were made "
    "so); who asks for a deletion has not seen a head made with this noise; the noise is known to nobody; what is left "
    "of the gradient, which was worked out over all rows, acts as a fixed shift of the noise; and only the newest head "
    "is at hand."
)


@dataclass(frozen=True, eq=False, repr=False)
class Certified:
    """The rows that are left, the head, and what must stay as secret as the rows: the noise, and the curvature.

    `spent` is the sum of the residuals under this noise, the fit's included, `published` what the published bound would have made of them;
    `stretch` is the largest singular value of the rows that the noise was drawn with, and `draws` counts draws.
    """

    table: Table
    weights: Weights
    noise: Weights
    curvature: Curvature
    stretch: float
    draws: int = 1
    residual: float = 0.0
    spent: float = 0.0
    published: float = 0.0

    def __repr__(self) -> str:
        return f"Certified(n={len(self.table.ids)}, classes={max(2, len(self.weights))})"


@learner(
    "certifiedremoval", tested_by="test_a_certified_deletion_lands_on_the_retrained_head_and_pays_for_what_is_left"
)
@dataclass(frozen=True)
class CertifiedRemoval:
    """Logistic regression whose loss is tilted by secret noise, so that a small error of a deletion cannot be seen.

        w = argmin sum_i log(1 + exp(-s_i w.x_i)) + (strength n / 2) |w|^2 + b.w,   b ~ N(0, sigma^2)

    for each class against the rest (two classes are one). A deletion takes Newton steps on the rows that are left, with
    a curvature from which its own rows are subtracted, until the gradient is below `tolerance`. What is left of the
    gradient is worked out over all rows, summed over the classes and added to what earlier deletions left; as long as
    the sum is at most sigma epsilon / c, the head is within (epsilon, delta) of a retrained one, delta =
    1.5 exp(-c^2 / 2). Guo et al. 2020, arXiv:1911.03030. Beyond it the head is fitted anew with new noise. Guo et al.
    take one step and bound what it leaves by |X| |H^-1 D| |X H^-1 D| / 4; `published` in the numbers is the sum of
    that bound, `published_share` how much of what may be spent it would have taken.

    A deletion costs a few passes over the rows, n d each, and d^3. Noise costs accuracy: the more, the smaller
    `strength`. With a `seed` the noise is as secret as the seed; without one, nobody can draw it again.

    Not shown: that the features are free of the rows; anything against who holds an older head too, or the state (its
    curvature was worked out at weights that rows since deleted had a part in). In the proof the shift of the noise
    does not depend on the noise; a residual of 1e-9 that encodes the noise would escape it.

    Example: ``head.release(head.delete(head.fit(table), ["17"])[0])`` with ``head = CertifiedRemoval(classes=3)``.
    """

    guarantee: ClassVar[GuaranteeKind] = "certified"
    classes: int = 2
    epsilon: float = 1.0
    delta: float = 1e-4
    sigma: float = 1.0
    strength: float = 1e-3
    tolerance: float = 1e-9
    seed: int | None = None

    def __post_init__(self) -> None:
        if not (0 < self.epsilon <= 1 and 0 < self.delta < 1):
            raise InputError("certifiedremoval wants 'epsilon' above 0 and at most 1, and 'delta' between 0 and 1")
        if not (self.sigma > 0 and self.strength > 0 and self.tolerance > 0 and self.classes >= 2):
            raise InputError("certifiedremoval wants 'sigma', 'strength', 'tolerance' above 0, and 2 'classes' or more")

    @property
    def c(self) -> float:
        """How many times wider than the shift, by epsilon, the noise must be: delta = 1.5 exp(-c^2 / 2)."""
        return sqrt(2 * log(1.5 / self.delta))

    @property
    def budget(self) -> float:
        """How large the residuals under one noise may be in sum."""
        return self.sigma * self.epsilon / self.c

    def fit(self, data: Table, /) -> Certified:
        """Draw noise and find the minimum."""
        return self._fit(prepared(data, self.classes), 1)

    def _fit(self, table: Table, draws: int) -> Certified:
        start = nothing(table, self.classes)
        noise = gaussian(start, self.sigma, self.seed, "certifiedremoval", draws)
        loss = Loss.of(table, self.strength, noise)
        found = minimise(loss, start, tolerance=min(self.tolerance, TOLERANCE))
        if found.residual > self.budget:
            raise InputError("the head does not reach its minimum; raise 'strength', or lower 'sigma'")
        d = table.x.shape[1]
        stretch = sqrt(eigvalsh(table.x.T @ table.x, subset_by_index=(d - 1, d - 1))[0])
        held = loss.curvature(found.weights)
        return Certified(table, found.weights, noise, held, stretch, draws, found.residual, found.residual)

    def delete(self, state: Certified, ids: Sequence[str], /) -> tuple[Certified, Guarantee]:
        """Go on to the minimum of the rows that are left; fit anew when too much has been left behind."""
        gone = asked(ids, state.table.ids)
        if len(gone) == len(state.table.ids):
            raise InputError("no row would be left to learn from; drop the head instead")
        taken, left = state.table.only(gone), state.table.without(gone)
        held = state.curvature.without(Loss.of(taken, self.strength, np.zeros_like(state.noise)))
        loss = Loss.of(left, self.strength, state.noise)
        found = minimise(loss, state.weights, held, self.tolerance)
        spent = state.spent + found.residual
        if spent > self.budget:
            anew = self._fit(left, state.draws + 1)
            return anew, self._claimed(anew)
        published = state.published + bound_of_one_step(loss, found.first, state.stretch)
        kept = replace(state, table=left, weights=found.weights, curvature=found.curvature)
        kept = replace(kept, residual=found.residual, spent=spent, published=published)
        return kept, self._claimed(kept)

    def _claimed(self, state: Certified) -> Guarantee:
        numbers = {
            "epsilon": self.epsilon, "delta": self.delta, "c": self.c, "sigma": self.sigma, "residual": state.residual,
            "spent": state.spent, "budget": self.budget, "lambda": self.strength, "n": float(len(state.table.ids)),
            "draws": float(state.draws), "published": state.published,
            "published_share": state.published / self.budget,
        }  # fmt: skip
        return indistinguishable("the head", numbers, ASSUMPTIONS)

    def release(self, state: Certified, /) -> Head:
        """The head; not the noise."""
        return released(state.weights)


def bound_of_one_step(loss: Loss, step: Weights, stretch: float) -> float:
    """What a single Newton step leaves of the gradient at most, by the published bound.

    |X| |H^-1 D| |X H^-1 D| / 4, summed over the classes, where the step is H^-1 D. Guo et al. 2020, arXiv:1911.03030.
    """
    lengths = np.linalg.norm(step, axis=1) * np.linalg.norm(loss.x @ step.T, axis=0)
    return SMOOTHNESS * stretch * float(lengths.sum())
