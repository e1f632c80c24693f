"""Naive Bayes on frozen features, as counts and sums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from unteach.lm.heads import Head, Table
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.heads.sums import ExactSum, by_class, squares, without
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError


@dataclass(frozen=True, repr=False)
class Counted:
    """The rows that are left, their sum by class, and the sum of their squares."""

    table: Table
    sums: Mapping[int, ExactSum]
    squares: ExactSum

    def __repr__(self) -> str:
        return f"Counted(n={len(self.table.ids)}, classes={len(self.sums)})"


@learner("naivebayes", tested_by="test_a_head_of_sums_without_rows_is_the_one_that_never_had_them")
@dataclass(frozen=True)
class NaiveBayes:
    """A class is as likely as its rows are many, and every feature speaks for itself.

        multinomial:  score_c = log(n_c / n) + sum_j x_j log((N_cj + smooth) / (N_c + smooth d))
        gaussian:     score_c = log(n_c / n) - sum_j (x_j - mu_cj)^2 / (2 v_j)

    n_c are the rows of a class, N_cj the sum of its feature j, mu_cj its mean, and v_j the variance of feature j about
    the means of the classes, one for all classes, at least `floor`: both are linear heads. Multinomial features are
    counts or other numbers from 0 on; states of a model are not, and want `gaussian`. Cao and Yang 2015 showed that
    what is learned as sums is forgotten by subtraction. Sums are kept as whole numbers of 2^-`bits`, so that the
    subtraction is exact; features are rounded to that grid and may not exceed 2^(31 - bits).

    A deletion costs one pass over its own rows. A class that loses all its rows is no longer known. What is left after
    all rows are gone releases nothing. Not shown: that the features are free of the rows.

    Example: ``head.release(head.delete(head.fit(table), ["17"])[0])`` with ``head = NaiveBayes("gaussian")``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    features: Literal["multinomial", "gaussian"] = "multinomial"
    smooth: float = 1.0
    floor: float = 1e-6
    bits: int = 16

    def __post_init__(self) -> None:
        if not (self.smooth > 0 and self.floor > 0 and 0 <= self.bits <= 30):
            raise InputError("naivebayes wants 'smooth' and 'floor' above 0, and 'bits' from 0 to 30")

    def fit(self, data: Table, /) -> Counted:
        """Count the rows."""
        if self.features == "multinomial" and (data.x < 0).any():
            raise InputError("multinomial naive Bayes counts, and a feature is below 0; set features to gaussian")
        return Counted(data, by_class(data, self.bits), squares(data.x, self.bits))

    def delete(self, state: Counted, ids: Sequence[str], /) -> tuple[Counted, Guarantee]:
        """Subtract the rows."""
        gone = state.table.only(asked(ids, state.table.ids))
        left = Counted(
            state.table.without(gone.ids),
            without(state.sums, by_class(gone, self.bits)),
            state.squares.take(squares(gone.x, self.bits)),
        )
        return left, retrain_equal("The naive Bayes head, with the sums that it is made of,", {"deleted": len(ids)})

    def release(self, state: Counted, /) -> Head:
        """The head."""
        if not state.sums:
            raise InputError("there is no row left to make a head of; fit one on other rows")
        known = list(state.sums)
        sums = np.stack([s.value() for s in state.sums.values()])
        counts = np.array([s.n for s in state.sums.values()], np.float64)
        made = {"multinomial": self._multinomial, "gaussian": self._gaussian}[self.features]
        slopes, shifts = made(sums, counts, state.squares.value())
        weights = np.zeros((max(known) + 1, sums.shape[1]))
        bias = np.full(max(known) + 1, -np.inf)  # a class of which there is no row is never said
        weights[known], bias[known] = slopes, shifts + np.log(counts / counts.sum())
        return Head(weights, bias)

    def _multinomial(self, sums: np.ndarray, _n: np.ndarray, _squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        smoothed = sums + self.smooth
        return np.log(smoothed / smoothed.sum(1, keepdims=True)), np.zeros(len(sums))

    def _gaussian(self, sums: np.ndarray, n: np.ndarray, squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means = sums / n[:, None]
        spread = np.maximum((squared - (n[:, None] * means**2).sum(0)) / n.sum(), self.floor)
        return means / spread, -(means**2 / spread).sum(1) / 2
