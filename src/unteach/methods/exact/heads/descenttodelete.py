"""Gradient descent that goes on after a deletion, and noise on what is published."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, log, sqrt
from typing import ClassVar

import numpy as np

from unteach.lm.heads import Head, Table
from unteach.methods.exact.guarantees import indistinguishable
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.heads.logistic import (
    SMOOTHNESS,
    Loss,
    Weights,
    farthest,
    gaussian,
    nothing,
    prepared,
    released,
    steepness,
)  # fmt: skip
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError

ASSUMPTIONS = (
    "the features come from a model that did not learn from the rows; rows are at most 1 long (longer ones were made "
    "so); who asks for a deletion has not seen a head made from these rows; the retrained head is given noise of the "
    "same scale; the noise is known to nobody; and only the newest head is at hand."
)


@dataclass(frozen=True, eq=False, repr=False)
class Descended:
    """The rows that are left, the weights without noise, which stay secret, and those with it.

    `learned` is how many rows there were at first, `updates` how many deletions there have been.
    """

    table: Table
    learned: int
    weights: Weights
    published: Weights
    updates: int = 0

    def __repr__(self) -> str:
        return f"Descended(n={len(self.table.ids)}, classes={max(2, len(self.weights))})"


@learner("descenttodelete", tested_by="test_descent_stays_as_near_to_the_minimum_as_its_noise_is_made_for")
@dataclass(frozen=True)
class DescentToDelete:
    """Logistic regression by projected gradient descent; a deletion takes some steps more, from where it stands.

        w <- project(w - 2 / (M + m) grad F(w)),   published: w + N(0, s^2),   gamma = (M - m) / (M + m)
        s = sqrt(K) 4 sqrt(2) L gamma^I / (m n (1 - gamma^I) (sqrt(ln(1/delta) + epsilon) - sqrt(ln(1/delta))))

    F is the mean logistic loss with its penalty, for each of K classes against the rest; m = `strength` is its strong
    convexity, M = 1/4 + m its smoothness, L the greatest gradient of a row. Each step comes nearer to the minimum by
    gamma, so I = `steps` after each deletion keep the weights within r = 2 L gamma^I / (m n (1 - gamma^I)) of it for
    ever, in any sequence; a retrained head is as near, and s hides the distance between them. Neel et al. 2021,
    arXiv:2007.02923. A batch of rows moves the minimum further and takes as many steps as that asks for: more, but
    only by the logarithm of their number.

    A deletion costs n d a step; curvature is not needed. `strength` must be large: at 0.001 a step comes nearer by 0.8 %.

    Not shown: that the features are free of the rows; anything against who holds an older head too, or the state.

    Example: ``head.release(head.delete(head.fit(table), ["17"])[0])`` with ``head = DescentToDelete(steps=20)``.
    """

    guarantee: ClassVar[GuaranteeKind] = "certified"
    classes: int = 2
    epsilon: float = 1.0
    delta: float = 1e-4
    strength: float = 0.1
    steps: int = 10
    seed: int | None = None

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and 0 < self.delta < 1):
            raise InputError("descenttodelete wants 'epsilon' above 0, and 'delta' between 0 and 1")
        if not (self.strength > 0 and self.steps >= 1 and self.classes >= 2):
            raise InputError("descenttodelete wants 'strength' above 0, 'steps' from 1 on, and 2 'classes' or more")

    @property
    def gamma(self) -> float:
        """How much of the distance to the minimum a step leaves at most."""
        return SMOOTHNESS / (SMOOTHNESS + 2 * self.strength)

    def radius(self, learned: int) -> float:
        """How far from the minimum of a class the weights may be."""
        left = self.gamma**self.steps
        return 2 * steepness(self.strength) * left / (self.strength * learned * (1 - left))

    def scale(self, learned: int) -> float:
        """The standard deviation of the noise on each weight."""
        classes = 1 if self.classes == 2 else self.classes
        root = sqrt(log(1 / self.delta))
        return sqrt(classes) * 2 * sqrt(2) * self.radius(learned) / (sqrt(root**2 + self.epsilon) - root)

    def fit(self, data: Table, /) -> Descended:
        """Descend from 0 until the weights are near enough."""
        table = prepared(data, self.classes)
        steps = self._enough(farthest(self.strength), len(table.ids))
        weights = self._descended(table, nothing(table, self.classes), steps)
        return self._published(Descended(table, len(table.ids), weights, weights))

    def delete(self, state: Descended, ids: Sequence[str], /) -> tuple[Descended, Guarantee]:
        """Go on from here on the rows that are left."""
        gone = asked(ids, state.table.ids)
        table = state.table.without(gone)
        if 2 * len(table.ids) < state.learned:
            raise InputError("fewer than half of the rows would be left, which the noise is not made for; fit anew")
        moved = len(gone) * steepness(self.strength) / (self.strength * len(table.ids))
        steps = self._enough(self.radius(state.learned) + moved, state.learned)
        weights = self._descended(table, state.weights, steps)
        left = self._published(Descended(table, state.learned, weights, weights, state.updates + 1))
        numbers = {
            "epsilon": self.epsilon, "delta": self.delta, "scale": self.scale(state.learned),
            "radius": self.radius(state.learned), "steps": float(steps), "lambda": self.strength,
            "n": float(len(table.ids)),
        }  # fmt: skip
        return left, indistinguishable("the head", numbers, ASSUMPTIONS)

    def _enough(self, far: float, learned: int) -> int:
        """Steps from this distance to within the radius."""
        return max(0, ceil(log(far / self.radius(learned)) / -log(self.gamma)))

    def _descended(self, table: Table, weights: Weights, steps: int) -> Weights:
        loss = Loss.of(table, self.strength, np.zeros_like(weights))
        rate = 2 / (SMOOTHNESS + 2 * self.strength) / len(table.ids)
        far = farthest(self.strength)
        for _ in range(steps):
            weights = weights - rate * loss.gradient(weights)
            weights = weights / np.maximum(1, np.linalg.norm(weights, axis=1, keepdims=True) / far)
        return weights

    def _published(self, state: Descended) -> Descended:
        noise = gaussian(state.weights, self.scale(state.learned), self.seed, "descenttodelete", state.updates)
        return replace(state, published=state.weights + noise)

    def release(self, state: Descended, /) -> Head:
        """The head with its noise."""
        return released(state.published)
