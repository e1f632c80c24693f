"""Intervals, rank statistics and tests: pure functions of numbers.

Every resampling draws from a counter-based generator with a fixed key, so the same values always give the
same interval, in whatever order they come.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import floor, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

DRAWS = 1000  # bootstrap resamples: with another key the ends of an interval move by about 2 % of its width
Z = 1.959963984540054  # two-sided 95 %
AT_ONCE = 1 << 21  # resampled indices held in memory

Numbers = Sequence[float] | NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class KS:
    """Two-sample Kolmogorov-Smirnov: the largest distance of the two distribution functions, p, both sizes."""

    d: float
    p: float
    n: int
    m: int


def auc(first: Numbers, second: Numbers) -> float:
    """P(x < y) + P(x = y)/2 for x of `first` and y of `second`: 0.5 where the two cannot be told apart."""
    low, high = np.asarray(first, float), np.sort(np.asarray(second, float))
    above = len(high) - np.searchsorted(high, low, "right")
    equal = np.searchsorted(high, low, "right") - np.searchsorted(high, low, "left")
    return float((above + equal / 2).sum() / (len(low) * len(high)))


def auc_interval(value: float, n: int, m: int) -> Interval:
    """95 % score interval of an AUC from samples of n and m. Newcombe 2006, method 5.

    It keeps a width where two samples are wholly separated, which DeLong's variance and the bootstrap do not.
    """
    many = (n + m) / 2 - 1

    def beyond(t: float) -> bool:
        variance = t * (1 - t) * (1 + many * (1 - t) / (2 - t) + many * t / (1 + t)) / (n * m)
        return abs(value - t) > Z * sqrt(variance)

    return _edge(beyond, value, 0.0), _edge(beyond, value, 1.0)


def _edge(beyond: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where the interval ends between a point inside it and the end of the range, by bisection."""
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if beyond(middle) else (middle, outside)
    return outside


def auc_gap_interval(
    now: tuple[Numbers, Numbers], then: tuple[Numbers, Numbers], *, relative: bool = False
) -> Interval | None:
    """95 % bootstrap interval of auc(now) - auc(then) where both scored the same rows.

    With `relative` it is that of the difference as a share of auc(then); None where a resample has none to share.
    """
    pairs = [np.column_stack([np.asarray(a, float), np.asarray(b, float)]) for a, b in zip(now, then, strict=True)]
    if min(len(p) for p in pairs) < 2:
        return None
    counts = [_counted(len(p), stream) for stream, p in enumerate(pairs)]
    after, before = (_aucs(pairs[0][:, k], pairs[1][:, k], *counts) for k in (0, 1))
    if not relative:
        return percentiles(after - before)
    return percentiles(after / before - 1) if before.all() else None


def _counted(n: int, stream: int) -> NDArray[np.int64]:
    """How often each of n rows is in each resample: (DRAWS, n)."""
    found = [
        np.bincount((rows + n * np.arange(len(rows))[:, None]).ravel(), minlength=rows.size).reshape(rows.shape)
        for rows in _draws(n, stream)
    ]
    return np.concatenate(found)


def _aucs(first: Numbers, second: Numbers, often: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
    """The AUC of every resample, from how often it has each value; as `auc` counts, in one pass."""
    low, order = np.asarray(first, float), np.argsort(second)
    high = np.asarray(second, float)[order]
    upto = np.concatenate([np.zeros((len(others), 1), np.int64), others[:, order].cumsum(1)], axis=1)
    left, right = (upto[:, np.searchsorted(high, low, side)] for side in ("left", "right"))
    above = len(high) - (left + right) / 2
    return np.asarray((often * above).sum(1) / (len(low) * len(high)))


def tpr_at(members: Numbers, others: Numbers, fpr: float) -> float:
    """The share of members that score below all but a share `fpr` of the others.

    With fewer than 1/fpr others it is the share found without any false alarm.
    """
    allowed = floor(fpr * len(others) + 1e-9)
    if allowed >= len(others):
        return 1.0
    bar = np.sort(np.asarray(others, float))[allowed]
    return float((np.asarray(members, float) < bar).mean())


def ks(first: Numbers, second: Numbers) -> KS:
    """Two-sided two-sample test, exact for up to 10,000 values a side where ties allow it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation unsuccessful", RuntimeWarning)
        found = ks_2samp(np.asarray(first, float), np.asarray(second, float))
    return KS(float(found.statistic), float(found.pvalue), len(first), len(second))


def resampled_means(columns: NDArray[np.float64], *, stream: int = 0) -> NDArray[np.float64]:
    """(DRAWS, K) means of (n, K) values over rows drawn with replacement, the same rows for every column."""
    return np.concatenate([columns[drawn].mean(1) for drawn in _draws(len(columns), stream)])


def _draws(n: int, stream: int) -> Iterator[NDArray[np.int32]]:
    """Row numbers (draws, n), in blocks; streams are independent."""
    source = np.random.Generator(np.random.Philox(key=[n, stream]))
    block = max(1, AT_ONCE // n)
    for done in range(0, DRAWS, block):
        yield source.integers(n, size=(min(block, DRAWS - done), n), dtype=np.int32)


def percentiles(values: NDArray[np.float64]) -> Interval:
    """The middle 95 % of resampled values."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def bootstrap_mean(values: Numbers) -> Interval | None:
    """95 % percentile bootstrap interval of the mean; None for fewer than two values.

    It is too narrow for few values (a true coverage of about 92 % at n = 10, 85 % at n = 5) and has no width where all agree.
    """
    if len(values) < 2:
        return None
    ordered = np.sort(np.asarray(values, float))
    low, high = percentiles(resampled_means(ordered[:, None])[:, 0])
    mean = float(ordered.mean())
    return min(low, mean), max(high, mean)


def wilson(successes: int, n: int) -> Interval | None:
    """95 % score interval of a proportion. Wilson 1927. None where nothing was tried."""
    if n == 0:
        return None
    share, spread = successes / n, Z * Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def harmonic(values: Numbers) -> float | None:
    """Harmonic mean: 0 as soon as one value is 0; None for no value or a negative one."""
    if not len(values) or min(values) < 0:
        return None
    return 0.0 if min(values) == 0 else len(values) / float(sum(1 / v for v in values))
