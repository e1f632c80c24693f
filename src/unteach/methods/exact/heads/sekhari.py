"""One Newton step from second derivatives alone, and noise: the rows that stay are not needed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, sqrt
from typing import ClassVar

import numpy as np

from unteach.lm.heads import Head, Table
from unteach.methods.exact.guarantees import indistinguishable
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.heads.logistic import (
    TOLERANCE,
    TURN,
    Curvature,
    Loss,
    Weights,
    gaussian,
    minimise,
    nothing,
    prepared,
    released,
    steepness,
)  # fmt: skip
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError

ASSUMPTIONS = (
    "the features come from a model that did not learn from the rows; rows are at most 1 long (longer ones were made "
    "so); who asks for a deletion has not seen a head made from these rows; the rows to take out are handed in as they "
    "were learned; the retrained head is given noise of the same scale; the noise is known to nobody; and only the "
    "newest head is at hand."
)


@dataclass(frozen=True, eq=False, repr=False)
class Summed:
    """The minimum that was found, and sums over rows there: all that a deletion reads beside the rows that go.

    `pull` is the sum of the gradients of the rows that are out. `table` is empty where rows are not kept.
    """

    table: Table
    alive: frozenset[str]
    learned: int
    minimum: Weights
    curvature: Curvature
    pull: Weights
    published: Weights

    def __repr__(self) -> str:
        return f"Summed(n={len(self.alive)}, classes={max(2, len(self.minimum))})"


@learner("sekhari", tested_by="test_a_step_without_the_kept_rows_lands_within_the_bound_that_its_noise_is_made_for")
@dataclass(frozen=True)
class Sekhari:
    """Logistic regression from which rows are taken out by one Newton step, without reading those that stay.

        w' = w + H^-1 sum_F grad f(w, z) + N(0, s^2),   H = sum of the second derivatives of the n - m rows left
        s = (g / epsilon) sqrt(2 ln(1.25 / delta)),     g = sqrt(K) 2 M L^2 m^2 / (n^2 strength^3)

    f is the logistic loss with its penalty, for each of K classes against the rest; L bounds its gradient, M = 1 / (6
    sqrt 3) the change of its second derivative. g bounds the distance to the retrained minimum for up to m = `capacity`
    rows in all, at most half of n; the first head is given the same noise. Sekhari et al. 2021, arXiv:2103.03279.

    With `keep_rows` false the state holds no row: bring the rows that go (`take_out`). A deletion of k rows costs
    k d^2 + d^3, whatever n is. The noise grows with the inverse cube of `strength`, so that the head must be held
    strongly, and with the square of the capacity.

    Not shown: that the features are free of the rows; anything against who holds an older head too, or the state,
    which keeps the minimum that all rows had a part in.

    Example: ``head.release(head.delete(head.fit(table), ["17"])[0])`` with ``head = Sekhari(capacity=20)``.
    """

    guarantee: ClassVar[GuaranteeKind] = "certified"
    classes: int = 2
    epsilon: float = 1.0
    delta: float = 1e-4
    strength: float = 0.1
    capacity: int = 100
    keep_rows: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        if not (0 < self.epsilon <= 1 and 0 < self.delta < 1):
            raise InputError("sekhari wants 'epsilon' above 0 and at most 1, and 'delta' between 0 and 1")
        if not (self.strength > 0 and self.capacity >= 1 and self.classes >= 2):
            raise InputError("sekhari wants 'strength' above 0, a 'capacity' from 1 on, and 2 'classes' or more")

    def distance(self, learned: int) -> float:
        """How far the weights can be from the retrained minimum, all classes together."""
        classes = 1 if self.classes == 2 else self.classes
        most = 2 * TURN * steepness(self.strength) ** 2 * self.capacity**2 / (learned**2 * self.strength**3)
        return sqrt(classes) * most

    def scale(self, learned: int) -> float:
        """The standard deviation of the noise on each weight."""
        return self.distance(learned) / self.epsilon * sqrt(2 * log(1.25 / self.delta))

    def fit(self, data: Table, /) -> Summed:
        """Find the minimum, sum up the second derivatives there, and publish with noise."""
        table = prepared(data, self.classes)
        n = len(table.ids)
        if 2 * self.capacity > n:
            raise InputError(f"{n} rows allow a 'capacity' of at most {n // 2}; lower it, or give more rows")
        start = nothing(table, self.classes)
        loss = Loss.of(table, self.strength, start)
        found = minimise(loss, start)
        if found.residual > TOLERANCE:
            raise InputError("the head does not reach its minimum; raise 'strength'")
        kept = table if self.keep_rows else table.only(())
        published = self._published(found.weights, n, 0)
        sums = loss.curvature(found.weights)
        return Summed(kept, frozenset(table.ids), n, found.weights, sums, np.zeros_like(start), published)

    def delete(self, state: Summed, ids: Sequence[str], /) -> tuple[Summed, Guarantee]:
        """Take out rows that the state has kept."""
        asked(ids, state.alive)
        if not self.keep_rows:
            raise InputError("the state keeps no rows; bring those to delete, by take_out")
        return self.take_out(state, state.table.only(ids))

    def take_out(self, state: Summed, rows: Table) -> tuple[Summed, Guarantee]:
        """Take out these rows, which must be as they were learned."""
        gone = asked(rows.ids, state.alive)
        alive = state.alive - gone
        out = state.learned - len(alive)
        if out > self.capacity:
            raise InputError(
                f"the noise is made for {self.capacity} deletions and {out} are asked; fit anew without them"
            )
        loss = Loss.of(prepared(rows, self.classes), self.strength, np.zeros_like(state.minimum))
        curvature = state.curvature.without(loss)
        pull = state.pull + loss.gradient(state.minimum)
        stepped = state.minimum + curvature.solver()(pull)
        published = self._published(stepped, state.learned, out)
        table = state.table.without(gone)
        left = replace(state, table=table, alive=alive, curvature=curvature, pull=pull, published=published)
        numbers = {
            "epsilon": self.epsilon, "delta": self.delta, "scale": self.scale(state.learned),
            "distance": self.distance(state.learned), "capacity": float(self.capacity), "out": float(out),
            "lambda": self.strength, "n": float(len(alive)),
        }  # fmt: skip
        return left, indistinguishable("the head", numbers, ASSUMPTIONS)

    def _published(self, weights: Weights, learned: int, out: int) -> Weights:
        return np.asarray(weights + gaussian(weights, self.scale(learned), self.seed, "sekhari", out))

    def release(self, state: Summed, /) -> Head:
        """The head with its noise."""
        return released(state.published)
