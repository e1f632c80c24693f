"""Sums from which a row can be taken out again to the last bit: whole numbers on a grid, in any order."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from unteach.lm.heads import Table
from unteach.schema import InputError

WIDEST = 62  # bits of a number that is summed
FACTOR = 31  # bits of a number that is multiplied by its like
LIMB = 32
LOW = 2**LIMB - 1
HALF = LIMB // 2
LOW_HALF = 2**HALF - 1
ROWS = 2**20  # rows in one block of products: every partial sum stays below 2^53, where floats are whole numbers

Grid = Int[np.ndarray, "n d"]


@dataclass(frozen=True, eq=False, repr=False)
class ExactSum:
    """The sum of n arrays of whole numbers, in units of 2^-bits: high * 2^32 + low with 0 <= low < 2^32.

    Sums of floats depend on their order, and what was added cannot be taken out of them: (a + b) - b is not a. These
    do not overflow before there are 2^31 rows. A sum has one form, so that equal sums are equal bit for bit, however
    they came about.
    """

    high: Int[np.ndarray, "..."]
    low: Int[np.ndarray, "..."]
    n: int
    bits: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "high", np.asarray(self.high + (self.low >> LIMB), np.int64))
        object.__setattr__(self, "low", np.asarray(self.low & LOW, np.int64))

    def __repr__(self) -> str:
        return f"ExactSum(n={self.n}, shape={self.high.shape}, bits={self.bits})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExactSum):
            return NotImplemented
        alike = (self.n, self.bits) == (other.n, other.bits)
        return alike and np.array_equal(self.high, other.high) and np.array_equal(self.low, other.low)

    __hash__ = None  # type: ignore[assignment]

    def add(self, other: "ExactSum") -> "ExactSum":
        """Both together."""
        self._alike(other)
        return ExactSum(self.high + other.high, self.low + other.low, self.n + other.n, self.bits)

    def take(self, other: "ExactSum") -> "ExactSum":
        """This one without the other, which is part of it."""
        self._alike(other)
        if other.n > self.n:
            raise InputError(f"{other.n} rows cannot be taken out of a sum of {self.n}; take out what was added")
        return ExactSum(self.high - other.high, self.low - other.low, self.n - other.n, self.bits)

    def value(self) -> Float[np.ndarray, "..."]:
        """The sum as floats, a function of the whole numbers alone."""
        high, low = (np.asarray(part, np.float64) for part in (self.high, self.low))
        return np.asarray(np.ldexp(high, LIMB - self.bits) + np.ldexp(low, -self.bits))

    def _alike(self, other: "ExactSum") -> None:
        if (self.bits, self.high.shape) != (other.bits, other.high.shape):
            raise InputError(
                "sums of different grids or shapes cannot be put together; make both with the same settings"
            )


def grid(x: Float[np.ndarray, "n d"], bits: int, widest: int = WIDEST) -> Grid:
    """x in units of 2^-bits, rounded; what needs more than `widest` bits is refused, since it would overflow."""
    found = np.rint(np.ldexp(np.asarray(x, np.float64), bits))
    if not (np.abs(found) < 2.0**widest).all():
        reach = f"{2.0 ** (widest - bits):g}"
        raise InputError(
            f"a feature lies beyond the grid, which reaches to {reach}; scale the features, or lower 'bits'"
        )
    return np.asarray(found, np.int64)


def total(x: Float[np.ndarray, "n d"], bits: int) -> ExactSum:
    """The sum of the rows."""
    found = grid(x, bits)
    return ExactSum((found >> LIMB).sum(0), (found & LOW).sum(0), len(found), bits)


def squares(x: Float[np.ndarray, "n d"], bits: int) -> ExactSum:
    """The sum of the squares of the rows, each rounded before it is squared; its grid has 2 bits."""
    found = grid(x, bits, FACTOR) ** 2
    return ExactSum((found >> LIMB).sum(0), (found & LOW).sum(0), len(found), 2 * bits)


def products(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n e"], bits: int) -> ExactSum:
    """X^T Y of the rounded rows; its grid has 2 bits.

    Each number is split in halves of 16 bits, whose products floats add without an error: fast, and whole all the same.
    """
    left, right = grid(x, bits, FACTOR), grid(y, bits, FACTOR)
    nothing = np.zeros((left.shape[1], right.shape[1]), np.int64)
    found = ExactSum(nothing, nothing, 0, 2 * bits)
    for at in range(0, len(left), ROWS):
        a, b = left[at : at + ROWS], right[at : at + ROWS]
        top = _matmul(a >> HALF, b >> HALF)
        middle = _matmul(a >> HALF, b & LOW_HALF) + _matmul(a & LOW_HALF, b >> HALF)
        bottom = _matmul(a & LOW_HALF, b & LOW_HALF)
        low = ((middle & LOW_HALF) << HALF) + bottom
        found = found.add(ExactSum(top + (middle >> HALF), low, len(a), 2 * bits))
    return found


def by_class(table: Table, bits: int) -> dict[int, ExactSum]:
    """The sum of the rows of every class that has any."""
    return {int(c): total(table.x[table.y == c], bits) for c in np.unique(table.y)}


def without(sums: Mapping[int, ExactSum], gone: Mapping[int, ExactSum]) -> dict[int, ExactSum]:
    """Sums by class less those of the rows that go; a class that is left with no row goes with them."""
    left = {c: held.take(gone[c]) if c in gone else held for c, held in sums.items()}
    return {c: held for c, held in left.items() if held.n}


def _matmul(a: Grid, b: Int[np.ndarray, "n e"]) -> Int[np.ndarray, "d e"]:
    return np.asarray(a.T.astype(np.float64) @ b.astype(np.float64), np.int64)
