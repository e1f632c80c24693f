"""The convex loss of the heads below, and its minimum to the last digits.

    L(w) = sum_i log(1 + exp(-s_i w.x_i)) + (lambda n / 2) |w|^2 + b.w

for one class against the rest, s_i = 1 for rows of the class and -1 for others; of K classes each has its own w and its
own b, which is nothing or noise. Rows are at most 1 long, so that one row moves a gradient by at most 1 a class. There
is no bias: the class that a head says is then the same for a row and for the row made shorter.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from unteach.edit.plan import draw
from unteach.lm.heads import Features, Head, Table
from unteach.schema import InputError

TOLERANCE = 1e-9
STEPS = 100
SMOOTHNESS = 0.25  # the greatest second derivative of log(1 + exp(-z))
TURN = 1 / (6 * sqrt(3))  # its greatest third derivative

Weights = Float[np.ndarray, "k d"]
Signs = Float[np.ndarray, "n k"]
Curvatures = Float[np.ndarray, "k d d"]


def prepared(table: Table, classes: int) -> Table:
    """The rows, those longer than 1 made that long; a class that the head was not made for is refused."""
    if len(table.ids) == 0:
        raise InputError("there is no row to learn from; give some")
    if not (classes >= 2 and table.y.min() >= 0 and table.y.max() < classes):
        raise InputError(
            f"a class is not among the {classes} that the head is for; set 'classes' to how many there are"
        )
    return replace(table, x=table.x / np.maximum(1, np.linalg.norm(table.x, axis=1, keepdims=True)))


def nothing(table: Table, classes: int) -> Weights:
    """Weights of 0: of K classes K rows, of two classes one."""
    return np.zeros((1 if classes == 2 else classes, table.x.shape[1]))


def released(weights: Weights) -> Head:
    """The head of these weights."""
    return Head(weights, np.zeros(len(weights)))


def size(slope: Weights) -> float:
    """The length of a gradient, summed over the classes."""
    return float(np.linalg.norm(slope, axis=1).sum())


@dataclass(frozen=True, eq=False, repr=False)
class Curvature:
    """The second derivatives of a loss at some weights, (K, d, d)."""

    at: Weights
    matrix: Curvatures

    def without(self, gone: "Loss") -> "Curvature":
        """Those of the loss without these rows, at the same weights: no other row is read."""
        return Curvature(self.at, self.matrix - gone.curvature(self.at).matrix)

    def solver(self) -> Callable[[Weights], Weights]:
        """Turns a gradient into the step that would undo it, by the factors of Cholesky."""
        factors = [cho_factor(one, lower=True) for one in self.matrix]
        return lambda slope: np.stack([cho_solve(f, g) for f, g in zip(factors, slope, strict=True)])


@dataclass(frozen=True, eq=False, repr=False)
class Loss:
    """The loss on rows; `strength` is lambda, and `noise` is b."""

    x: Features
    signs: Signs
    strength: float
    noise: Weights

    @classmethod
    def of(cls, table: Table, strength: float, noise: Weights) -> "Loss":
        """On prepared rows, for as many classes as the noise has rows."""
        classes = np.arange(len(noise)) if len(noise) > 1 else np.ones(1)
        return cls(table.x, np.where(table.y[:, None] == classes, 1.0, -1.0), strength, noise)

    def gradient(self, weights: Weights) -> Weights:
        """The gradient over all rows."""
        pull = self.signs * expit(-self.signs * (self.x @ weights.T))
        return np.asarray(self.strength * len(self.x) * weights + self.noise - pull.T @ self.x)

    def curvature(self, weights: Weights) -> Curvature:
        """The second derivatives over all rows."""
        chance = expit(self.x @ weights.T)
        matrix = np.stack([(self.x * c[:, None]).T @ self.x for c in (chance * (1 - chance)).T])
        return Curvature(weights, matrix + self.strength * len(self.x) * np.eye(self.x.shape[1]))


@dataclass(frozen=True, eq=False, repr=False)
class Minimum:
    """Weights, the size of the gradient that is left there, the curvature that was last worked out, the first step."""

    weights: Weights
    residual: float
    curvature: Curvature
    first: Weights


def minimise(loss: Loss, start: Weights, held: Curvature | None = None, tolerance: float = TOLERANCE) -> Minimum:
    """Newton steps with a curvature of other weights for as long as each halves the gradient, then with a new one.

    A step that makes the gradient no smaller is halved. Ends below `tolerance`, or where rounding lets nothing get
    smaller; the residual tells which.
    """
    weights, slope = start, loss.gradient(start)
    held = held or loss.curvature(start)
    solve, first = held.solver(), None
    for _ in range(STEPS):
        if size(slope) < tolerance:
            break
        step = solve(slope)
        first = step if first is None else first
        nearer = weights - step
        after = loss.gradient(nearer)
        if size(after) >= size(slope) / 2 and held.at is not weights:
            held = loss.curvature(weights)
            solve = held.solver()
            continue
        share = 1.0
        while size(after) >= size(slope) and share > TOLERANCE:
            share /= 2
            nearer = weights - share * step
            after = loss.gradient(nearer)
        if size(after) >= size(slope):
            break
        weights, slope = nearer, after
    return Minimum(weights, size(slope), held, np.zeros_like(start) if first is None else first)


def farthest(strength: float) -> float:
    """How long the weights at a minimum without noise can be: (lambda / 2) |w|^2 is at most the mean loss at 0, log 2."""
    return sqrt(2 * log(2) / strength)


def steepness(strength: float) -> float:
    """The greatest gradient of one row's loss, its share of the penalty included, within that distance."""
    return 1 + strength * farthest(strength)


def gaussian(like: Weights, scale: float, seed: int | None, *purpose: object) -> Weights:
    """Noise of this scale in the shape of the weights: of the seed and the purpose, or else what nobody can draw again."""
    key = secrets.randbits(128) if seed is None else draw(seed, *purpose)
    return np.asarray(scale * np.random.default_rng(key).standard_normal(like.shape))
