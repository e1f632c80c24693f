"""k-means in whole numbers: what becomes of a row depends on that row and on the centroids, never on its neighbours."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf, isqrt, log

import numpy as np
from jaxtyping import Float, Int

from unteach.edit.plan import draw
from unteach.lm.heads import Features
from unteach.methods.exact.heads.sums import Grid, grid
from unteach.schema import InputError


@dataclass(frozen=True)
class Lattice:
    """Where centroids may stand: every `step` units of the features' grid, from `phase` on.

    A cluster of fewer than `balance` * n / k rows counts as that many, the missing ones standing where its centroid
    stood; otherwise one row of a small cluster would move its centroid from one place of the lattice to the next.
    """

    step: int
    phase: Int[np.ndarray, " d"]
    balance: float = 0.0


@dataclass(frozen=True, repr=False)
class Points:
    """What is clustered: ids, places on the features' grid, and how many rows each point stands for."""

    ids: tuple[str, ...]
    places: Grid
    weights: Int[np.ndarray, " n"]

    def __post_init__(self) -> None:
        d = self.places.shape[1]
        if self.places.size and np.abs(self.places).max() > reach(d):
            raise InputError(
                f"a feature lies {reach(d)} units of the grid or more from 0; scale the features, or lower 'bits'"
            )

    def __repr__(self) -> str:
        return f"Points(n={len(self.ids)}, d={self.places.shape[1]})"

    def without(self, ids: Collection[str]) -> "Points":
        """All points but these."""
        return self.at([n for n, i in enumerate(self.ids) if i not in ids])

    def only(self, ids: Collection[str]) -> "Points":
        """These points."""
        return self.at([n for n, i in enumerate(self.ids) if i in ids])

    def at(self, numbers: Sequence[int]) -> "Points":
        """The points of these numbers."""
        chosen = np.array(numbers, np.int64)
        return Points(tuple(self.ids[n] for n in numbers), self.places[chosen], self.weights[chosen])


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """Centroids, and of the rows that are nearest to each: their sum and number; and the loss of all."""

    centroids: Int[np.ndarray, "k d"]
    sums: Int[np.ndarray, "k d"]
    counts: Int[np.ndarray, " k"]
    loss: int

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Step):
            return NotImplemented
        pairs = ((self.centroids, other.centroids), (self.sums, other.sums), (self.counts, other.counts))
        return self.loss == other.loss and all(np.array_equal(a, b) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]

    def less(self, gone: Points) -> "Step":
        """The same step without these points."""
        theirs = stepped(gone, self.centroids)
        sums, counts = self.sums - theirs.sums, self.counts - theirs.counts
        return Step(self.centroids, sums, counts, self.loss - theirs.loss)

    def moved(self, lattice: Lattice) -> Int[np.ndarray, "k d"]:
        """Where the centroids go next: to the means, rounded to the lattice."""
        least = max(1, int(lattice.balance * int(self.counts.sum()) / max(1, len(self.counts))))
        filled = np.maximum(least - self.counts, 0)[:, None]
        rows = self.counts[:, None] + filled
        twice = 2 * (self.sums + filled * self.centroids - rows * lattice.phase)
        return np.asarray((twice + rows * lattice.step) // (2 * rows * lattice.step) * lattice.step + lattice.phase)


@dataclass(frozen=True, repr=False)
class Trace:
    """Everything that a clustering went through: the points it began at, and every step."""

    seeds: tuple[str, ...]
    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        return f"Trace(k={len(self.seeds)}, steps={len(self.steps)})"

    @property
    def best(self) -> Step:
        """The step of the least loss: the last, or the last but one where the last made it no better."""
        return min(self.steps, key=lambda step: step.loss)


def reach(d: int) -> int:
    """How far from 0 a place may lie: squared distances then fit into 62 bits."""
    return isqrt(2**62 // max(1, d)) // 4


def points(ids: Sequence[str], x: Features, bits: int) -> Points:
    """Rows of features as points, rounded to units of 2^-bits."""
    return Points(tuple(ids), grid(x, bits), np.ones(len(ids), np.int64))


def distances(places: Grid, centroid: Int[np.ndarray, " d"]) -> Int[np.ndarray, " n"]:
    """Squared distances, exactly."""
    apart = places - centroid
    return np.asarray(np.einsum("nd,nd->n", apart, apart))


def nearest(places: Grid, centroids: Int[np.ndarray, "k d"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The nearest centroid of every place, the first of several, and the squared distance to it."""
    found, least = np.zeros(len(places), np.int64), np.full(len(places), np.iinfo(np.int64).max)
    for c, centroid in enumerate(centroids):
        apart = distances(places, centroid)
        closer = apart < least
        found[closer], least[closer] = c, apart[closer]
    return found, least


def stepped(rows: Points, centroids: Int[np.ndarray, "k d"]) -> Step:
    """What the rows come to around these centroids."""
    found, apart = nearest(rows.places, centroids)
    sums, counts = np.zeros_like(centroids), np.zeros(len(centroids), np.int64)
    np.add.at(sums, found, rows.weights[:, None] * rows.places)
    np.add.at(counts, found, rows.weights)
    return Step(centroids, sums, counts, sum(a * w for a, w in zip(apart.tolist(), rows.weights.tolist(), strict=True)))


def clustered(rows: Points, k: int, lattice: Lattice, iterations: int, seed: int) -> Trace:
    """k-means++ and then Lloyd's steps, until the loss no longer falls; fewer centroids where fewer places differ."""
    seeds = _seeds(rows, k, seed)
    first = stepped(rows, rows.places[list(seeds)])
    return finished(rows, Trace(tuple(rows.ids[i] for i in seeds), (first,)), lattice, iterations)


def finished(rows: Points, begun: Trace, lattice: Lattice, iterations: int) -> Trace:
    """A clustering of these rows that has begun, with the steps that it lacks."""
    steps = list(begun.steps)
    while _goes_on(steps, iterations):
        steps.append(stepped(rows, steps[-1].moved(lattice)))
    return Trace(begun.seeds, tuple(steps))


def kept(trace: Trace, gone: Points, lattice: Lattice, iterations: int) -> Trace | None:
    """As much of a trace as stands without these points; nothing where it began at one of them.

    A step stands if the one before it does and leads to the same centroids without the points; the trace ends early
    where the loss falls no longer. By induction these are, bit for bit, the steps of the points that are left.
    """
    if not set(trace.seeds).isdisjoint(gone.ids):
        return None
    steps = [trace.steps[0].less(gone)]
    for step in trace.steps[1:]:
        if not (_goes_on(steps, iterations) and np.array_equal(steps[-1].moved(lattice), step.centroids)):
            break
        steps.append(step.less(gone))
    return Trace(trace.seeds, tuple(steps))


def _goes_on(steps: Sequence[Step], iterations: int) -> bool:
    return len(steps) <= iterations and (len(steps) < 2 or steps[-1].loss < steps[-2].loss)


def _seeds(rows: Points, k: int, seed: int) -> tuple[int, ...]:
    """Places in the rows of k-means++'s draws: by weight and squared distance to those drawn before.

    The greatest of log weight + Gumbel noise is a draw by weight. The noise hangs on a row's own id: as long as the
    drawn row stays, the draw stays, whichever others go.
    """
    found: list[int] = []
    masses = rows.weights.tolist()
    apart = np.full(len(rows.ids), np.iinfo(np.int64).max)
    while len(found) < k and any(masses):
        scores = [log(m) + _gumbel(seed, len(found), i) if m else -inf for i, m in zip(rows.ids, masses, strict=True)]
        found.append(scores.index(max(scores)))
        apart = np.minimum(apart, distances(rows.places, rows.places[found[-1]]))
        masses = [a * w for a, w in zip(apart.tolist(), rows.weights.tolist(), strict=True)]
    return tuple(found)


def _gumbel(seed: int, lap: int, i: str) -> float:
    return -log(-log(((draw(seed, "k-means++", lap, i) >> 12) + 0.5) / 2**52))  # of 52 bits: never 0 nor 1


def as_floats(places: Grid, bits: int) -> Float[np.ndarray, "n d"]:
    """Places on the grid as features."""
    return np.asarray(np.ldexp(places.astype(np.float64), -bits))
