"""Quantised k-means: centroids on a lattice, which most rows can leave without moving one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from unteach.edit.plan import draw
from unteach.lm.heads import Classes, Features, Table
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.heads.lloyd import (
    Lattice,
    Points,
    Trace,
    as_floats,
    clustered,
    finished,
    kept,
    nearest,
    points,
    reach,
)
from unteach.methods.exact.heads.sums import Grid
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError


@dataclass(frozen=True, repr=False)
class Clustered:
    """The rows that are left, on the grid, and the course of their clustering."""

    rows: Points
    trace: Trace

    def __repr__(self) -> str:
        return f"Clustered(n={len(self.rows.ids)}, {self.trace})"


@dataclass(frozen=True, eq=False, repr=False)
class Clusters:
    """Centroids, in units of 2^-bits, and the nearest of them for rows of features."""

    places: Grid
    bits: int

    def __repr__(self) -> str:
        return f"Clusters(k={len(self.places)})"

    @property
    def centroids(self) -> Float[np.ndarray, "k d"]:
        """The centroids as features."""
        return as_floats(self.places, self.bits)

    def __call__(self, x: Features) -> Classes:
        """The number of the nearest centroid of every row."""
        return nearest(points([""] * len(x), x, self.bits).places, self.places)[0]


@learner("qkmeans", tested_by="test_clusters_without_rows_are_those_that_never_had_them")
@dataclass(frozen=True)
class QKMeans:
    """k-means whose centroids are rounded to a lattice after each step, so that one row seldom decides where they stand.

        Q(c) = lattice * (round(c / lattice + shift) - shift),   shift drawn once for each dimension

    Ginart et al. 2019, arXiv:1907.05012. A small cluster is filled up to `balance` n / `k` rows with its old centroid. A
    deletion follows the steps of the clustering. As long as it began at none of the rows (k-means++), and each rounded
    centroid is the same without them, a step is, bit for bit, the one of the rows that are left, and only its sums
    change. From the first step on of which that is not so, the clustering is done anew, on the rows that are left and
    on no others. Features are rounded to 2^-`bits`, so that sums, distances and losses are whole numbers; the draws of
    k-means++ are keyed by the ids of rows.

    The guarantee's numbers tell whether a deletion needed a retraining (1 or 0), and of how many steps. That is the more
    likely the more steps and dimensions there are, and the fewer rows a cluster has; a coarser `lattice` needs fewer, and
    clusters less well. Time tells the two kinds apart: who measures it learns something of the deleted row. Fewer
    than `k` rows have a cluster each, and none at all nothing to release.

    Example: ``QKMeans(k=16, lattice=0.1).fit(table)``; the classes of the table are not read.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    k: int = 8
    lattice: float = 0.1
    balance: float = 0.2
    iterations: int = 10
    bits: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if not (
            self.k >= 1 and self.lattice > 0 and 0 <= self.balance <= 1 and self.iterations >= 1 and self.bits >= 0
        ):
            raise InputError(
                "qkmeans wants 'k' and 'iterations' from 1 on, a 'lattice' above 0, a 'balance' of 0 to 1, "
                "and 'bits' from 0 on"
            )

    def fit(self, data: Table, /) -> Clustered:
        """Cluster the rows."""
        return self._anew(points(data.ids, data.x, self.bits))

    def delete(self, state: Clustered, ids: Sequence[str], /) -> tuple[Clustered, Guarantee]:
        """Take the rows out of the sums if no centroid depends on them; otherwise cluster the others anew."""
        gone = asked(ids, state.rows.ids)
        left = state.rows.without(gone)
        lattice = self._lattice(left.places.shape[1])
        begun = kept(state.trace, state.rows.only(gone), lattice, self.iterations)
        found = self._anew(left) if begun is None else Clustered(left, finished(left, begun, lattice, self.iterations))
        redone = len(found.trace.steps) - (len(begun.steps) if begun else 0)
        told = {"deleted": len(ids), "retrained": float(redone > 0), "steps_redone": redone}
        return found, retrain_equal("The clustering", told)

    def release(self, state: Clustered, /) -> Clusters:
        """The centroids."""
        if not state.rows.ids:
            raise InputError("there is no row left to cluster; fit the clusters on other rows")
        return Clusters(state.trace.best.centroids, self.bits)

    def _anew(self, rows: Points) -> Clustered:
        return Clustered(rows, clustered(rows, self.k, self._lattice(rows.places.shape[1]), self.iterations, self.seed))

    def _lattice(self, d: int) -> Lattice:
        step = max(1, round(self.lattice * 2**self.bits))
        if step > reach(d):
            raise InputError("the 'lattice' is wider than the grid of the features reaches; lower 'lattice' or 'bits'")
        phase = np.array([draw(self.seed, "lattice", j) % step for j in range(d)], np.int64)
        return Lattice(step, phase, self.balance)
