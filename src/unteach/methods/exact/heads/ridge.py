"""Ridge regression on frozen features, as sums of products."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from unteach.lm.heads import Head, Table
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.heads.sums import ExactSum, by_class, products, without
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError


@dataclass(frozen=True, repr=False)
class Moments:
    """The rows that are left, their sum by class (X^T Y), and X^T X."""

    table: Table
    sums: Mapping[int, ExactSum]
    square: ExactSum

    def __repr__(self) -> str:
        return f"Moments(n={len(self.table.ids)}, classes={len(self.sums)})"


@learner("ridge", tested_by="test_a_head_of_sums_without_rows_is_the_one_that_never_had_them")
@dataclass(frozen=True)
class Ridge:
    """Least squares from the features to one number a class, 1 for a row's own class and 0 for the others.

        W = argmin sum_i |W (x_i, 1) - e(y_i)|^2 + penalty |W|^2 = Y^T X (X^T X + penalty I)^-1

    The bias bears no penalty. Both products are sums over rows, which subtraction takes out (Cao and Yang 2015): they
    are kept as whole numbers, of features that are rounded to 2^-`bits` and may not exceed 2^(31 - bits). The same
    products in floats do not come back to the last bit. The head is solved from them by Cholesky.

    A deletion of m rows costs m d^2, whatever there is beside them, and a release d^3. A class that loses all its rows is
    no longer known; when all rows are gone there is nothing to release. Not shown: that the features are free of the
    rows, nor that a head of another kind would be.

    Example: ``head.release(head.delete(head.fit(table), ["17"])[0])`` with ``head = Ridge(penalty=0.1)``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    penalty: float = 1.0
    bits: int = 16

    def __post_init__(self) -> None:
        if not (self.penalty > 0 and 0 <= self.bits <= 30):
            raise InputError("ridge wants a 'penalty' above 0, and 'bits' from 0 to 30")

    def fit(self, data: Table, /) -> Moments:
        """Sum the products of the rows."""
        return Moments(data, by_class(data, self.bits), products(data.x, data.x, self.bits))

    def delete(self, state: Moments, ids: Sequence[str], /) -> tuple[Moments, Guarantee]:
        """Subtract the products of the rows."""
        gone = state.table.only(asked(ids, state.table.ids))
        left = Moments(
            state.table.without(gone.ids),
            without(state.sums, by_class(gone, self.bits)),
            state.square.take(products(gone.x, gone.x, self.bits)),
        )
        return left, retrain_equal("The ridge head, with the sums that it is solved from,", {"deleted": len(ids)})

    def release(self, state: Moments, /) -> Head:
        """The head."""
        if not state.sums:
            raise InputError("there is no row left to make a head of; fit one on other rows")
        known, d = list(state.sums), state.square.high.shape[0]
        sums = np.stack([s.value() for s in state.sums.values()])
        counts = np.array([s.n for s in state.sums.values()], np.float64)
        left = np.empty((d + 1, d + 1))
        left[:d, :d] = state.square.value() + self.penalty * np.eye(d)
        left[:d, d] = left[d, :d] = sums.sum(0)
        left[d, d] = counts.sum()
        solved = cho_solve(cho_factor(left, lower=True), np.column_stack([sums, counts]).T)
        weights, bias = np.zeros((max(known) + 1, d)), np.zeros(max(known) + 1)
        weights[known], bias[known] = solved[:d].T, solved[d]
        return Head(weights, bias)
