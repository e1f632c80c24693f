"""Noisy gradient descent whose whole course is kept, so that a deletion can ask whether it would have been another."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import erf, exp, sqrt
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from unteach.edit.plan import draw
from unteach.lm.heads import Head, Table
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.heads.logistic import Loss, Weights, nothing, prepared, released
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError

Places = Int[np.ndarray, "t b"]
Steps = Float[np.ndarray, "u k d"]

CLAIM = (
    "The steps that read the rows were coupled with those of a training without them, so that in distribution the head "
    "is the one trained without the rows. This is what the argument says of numbers without rounding; no test of this "
    "head shows it. It rests on frozen features that did not learn from the rows, on requests by somebody who has not "
    "seen a head made from these rows, and on dice that nobody can throw again."
)


@dataclass(frozen=True, eq=False, repr=False)
class Course:
    """The rows that are left, the places of each step's rows among them, and the weights before each step and at last."""

    table: Table
    batches: Places
    course: Steps

    def __repr__(self) -> str:
        return f"Course(n={len(self.table.ids)}, steps={len(self.batches)})"


@learner("tvstability", tested_by="test_a_coupled_course_is_in_distribution_that_of_a_training_without_the_row")
@dataclass(frozen=True)
class TvStability:
    """Noisy gradient descent; a deletion keeps the course up to where, by chance, it would have become another.

        w_t+1 ~ N(mu_t, sigma^2),   mu_t = w_t - rate (mean gradient over `batch` rows + strength w_t)

    In a step that read a row to delete, another row is drawn for it, which moves mu to mu'. The step is kept with
    probability min(1, N(w_t+1; mu', sigma^2) / N(w_t+1; mu, sigma^2)), and the next is looked at; else w_t+1 is
    reflected at the plane between mu and mu', which makes it a draw from N(mu', sigma^2), and the steps after it are
    trained anew with fresh noise. Ullah et al. 2021, arXiv:2102.13179. Loss and classes are those of logistic
    regression, each class against the rest; rows longer than 1 are made that long.

    The numbers give `redone`, the share of the steps that were trained anew, and `expected`, at most which share that
    is on average: for each row deleted, the sum over the steps t of (batch / n) TV (1 - t / steps), where
    TV = 2 Phi(sqrt(K) rate / (batch sigma)) - 1 bounds the distance of the two draws. Little is redone where the noise
    is as large as privacy would want it, which costs accuracy, and the course takes steps x K x d numbers: this is to
    see how stable a training is. Of a head, `certifiedremoval` takes rows out more cheaply and more accurately.

    Not shown: a bound; the class of the claim is empirical, since the whole training rests on dice being fair and
    rounding being nothing. Nor that the features are free of the rows, nor anything against who holds an older head.

    Example: ``head.release(head.delete(head.fit(table), ["17"])[0])`` with ``head = TvStability(sigma=0.1)``.
    """

    guarantee: ClassVar[GuaranteeKind] = "empirical"
    classes: int = 2
    steps: int = 200
    batch: int = 32
    rate: float = 0.5
    sigma: float = 0.05
    strength: float = 1e-2
    seed: int | None = None

    def __post_init__(self) -> None:
        if not (self.steps >= 1 and self.batch >= 1 and self.classes >= 2):
            raise InputError("tvstability wants 'steps' and 'batch' from 1 on, and 2 'classes' or more")
        if not (self.rate > 0 and self.sigma > 0 and self.strength >= 0):
            raise InputError("tvstability wants 'rate' and 'sigma' above 0, and a 'strength' that is not negative")

    def fit(self, data: Table, /) -> Course:
        """Draw the rows of every step, and descend."""
        table, dice = prepared(data, self.classes), self._dice("fit")
        n = len(table.ids)
        if n <= self.batch:
            raise InputError(f"a 'batch' of {self.batch} wants more rows than {n}; lower it, or give more rows")
        batches = np.stack([dice.choice(n, self.batch, replace=False) for _ in range(self.steps)])
        start = nothing(table, self.classes)
        course = np.broadcast_to(start, (self.steps + 1, *start.shape)).copy()
        self._descend(self._loss(table), batches, course, 0, dice)
        return Course(table, batches, course)

    def delete(self, state: Course, ids: Sequence[str], /) -> tuple[Course, Guarantee]:
        """Take the rows out one after another."""
        redone, expected = 0, 0.0
        for one in sorted(asked(ids, state.table.ids)):
            if len(state.table.ids) - 1 <= self.batch:
                raise InputError(
                    f"a 'batch' of {self.batch} wants more rows than would be left; fit anew with a smaller one"
                )
            expected += self._expected(len(state.table.ids))
            state, again = self._without(state, one)
            redone += again
        numbers = {"redone": redone / self.steps, "expected": expected, "n": float(len(state.table.ids))}
        return state, Guarantee("empirical", "equal in distribution", CLAIM, numbers)

    def release(self, state: Course, /) -> Head:
        """The head at the end of the course."""
        return released(state.course[-1])

    def _without(self, state: Course, one: str) -> tuple[Course, int]:
        """The course without a row, and how many of its steps had to be made anew."""
        dice, gone = self._dice("delete", one), state.table.ids.index(one)
        left = state.table.without([one])
        read = np.flatnonzero((state.batches == gone).any(1)).tolist()
        batches = _replaced(state.batches, gone, read, len(left.ids), dice)
        old, new, course = self._loss(state.table), self._loss(left), state.course.copy()
        for t in read:
            before, after = self._mean(old, state.batches[t], course[t]), self._mean(new, batches[t], course[t])
            kept, course[t + 1] = coupled(course[t + 1], before, after, self.sigma, dice)
            if not kept:
                self._descend(new, batches, course, t + 1, dice)
                return Course(left, batches, course), self.steps - t
        return Course(left, batches, course), 0

    def _loss(self, table: Table) -> Loss:
        return Loss.of(table, self.strength, nothing(table, self.classes))

    def _descend(self, loss: Loss, batches: Places, course: Steps, first: int, dice: np.random.Generator) -> None:
        for t in range(first, self.steps):
            noise = self.sigma * dice.standard_normal(course[t].shape)
            course[t + 1] = self._mean(loss, batches[t], course[t]) + noise

    def _mean(self, loss: Loss, batch: Int[np.ndarray, " b"], weights: Weights) -> Weights:
        """Where a step goes without its noise."""
        part = replace(loss, x=loss.x[batch], signs=loss.signs[batch])
        return np.asarray(weights - self.rate / len(batch) * part.gradient(weights))

    def _expected(self, n: int) -> float:
        """At most which share of the steps is made anew for one row of n, on average."""
        classes = 1 if self.classes == 2 else self.classes
        apart = erf(sqrt(classes) * self.rate / (self.batch * self.sigma) / sqrt(2))
        return self.batch / n * apart * (self.steps + 1) / 2

    def _dice(self, *purpose: str) -> np.random.Generator:
        return np.random.default_rng(secrets.randbits(128) if self.seed is None else draw(self.seed, *purpose))


def _replaced(batches: Places, gone: int, read: Sequence[int], left: int, dice: np.random.Generator) -> Places:
    """The places of every step's rows among those left, with another row in each step that read the one that goes."""
    found = batches - (batches > gone)
    for t in read:
        place = int(np.flatnonzero(batches[t] == gone)[0])
        others = np.setdiff1d(np.arange(left), np.delete(found[t], place))
        found[t, place] = dice.choice(others)
    return found


def coupled(
    drawn: Weights, before: Weights, after: Weights, sigma: float, dice: np.random.Generator
) -> tuple[bool, Weights]:  # fmt: skip
    """A draw from N(after, sigma^2) that is `drawn`, a draw from N(before, sigma^2), as often as can be; and whether."""
    gap = after - before
    far = float((gap**2).sum())
    ratio = float(((drawn - before) ** 2 - (drawn - after) ** 2).sum()) / (2 * sigma**2)
    if far == 0 or dice.random() < exp(min(0.0, ratio)):
        return True, drawn
    noise = drawn - before
    return False, after + noise - 2 * float((noise * gap).sum()) / far * gap
