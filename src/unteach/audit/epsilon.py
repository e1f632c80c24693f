"""How much an attack's success says about epsilon: lower bounds that hold at a stated significance, and the
per-row estimates of the NeurIPS 2023 unlearning challenge.

An algorithm is (epsilon, delta)-indistinguishable in two worlds where, for every test, P(yes | one world) is at most
e^epsilon P(yes | the other) + delta, both ways round. Dwork et al. 2006, doi:10.1007/11681878_14.
"""

from dataclasses import dataclass
from math import ceil, exp, log

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import bdtr, bdtrc, betaincinv

CAP = 50.0  # the challenge's epsilon of samples that no more models could tell apart better
PEAKED = 0.01  # one sample's range as a share of the other's, below which the challenge gives the cap
BUCKET = 0.5
WITHIN = 2.0  # of phi: how far an interval may reach beyond the sample that it is laid around, or fall short of it
DELTA = 1e-5

MOST_CUTS = 1000  # tried for a test, evenly among the scores

Counts = int | Int[np.ndarray, "*S"]
Rates = np.float64 | Float[np.ndarray, "*S"]


@dataclass(frozen=True)
class Cut:
    """A test of one number: yes where it is at least `at`, or at most, where `below`."""

    at: float
    below: bool = False

    def __call__(self, scores: Float[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
        return scores <= self.at if self.below else scores >= self.at


def bound_of_rates(
    found: Counts, inside: int, alarms: Counts, outside: int, *, delta: float = 0.0, significance: float = 0.05
) -> Float[np.ndarray, "*S"]:
    """A lower bound on epsilon from how often one fixed test says yes in either world.

    max{ln((t - delta) / f), ln((1 - f - delta) / (1 - t)), 0}, with t the least and f the greatest rate that the
    counts allow, Clopper-Pearson, each at half the significance. Jagielski et al. 2020, arXiv:2006.07709; Nasr et al.
    2021, arXiv:2101.04535. The trials must be independent, and the test chosen without them.
    """
    yes, false = np.asarray(found, float), np.asarray(alarms, float)
    level = significance / 2
    least = np.where(yes > 0, betaincinv(np.maximum(yes, 1), inside - yes + 1, level), 0.0)
    most = np.where(false < outside, betaincinv(false + 1, np.maximum(outside - false, 1), 1 - level), 1.0)
    sides = _log_quotient(least - delta, most), _log_quotient(1 - most - delta, 1 - least)
    return np.asarray(np.maximum(*sides).clip(0))


def _log_quotient(above: Rates, below: Rates) -> Float[np.ndarray, "*S"]:
    """ln(above / below), minus infinity where there is nothing above."""
    positive = above > 0
    return np.where(positive, np.log(np.where(positive, above, 1.0)) - np.log(np.maximum(below, 1e-300)), -np.inf)


def best_cut(
    inside: Float[np.ndarray, " N"], outside: Float[np.ndarray, " M"], *, delta: float = 0.0, significance: float = 0.05
) -> Cut:
    """The cut with the greatest bound on these scores, for use on others; between equals the middle one."""
    values = np.unique(np.concatenate([inside, outside]))
    between = (values[1:] + values[:-1]) / 2 if len(values) > 1 else values
    cuts = between[np.linspace(0, len(between) - 1, min(len(between), MOST_CUTS)).astype(int)]
    n, m = len(inside), len(outside)
    yes, false = (len(x) - np.searchsorted(np.sort(x), cuts) for x in (inside, outside))
    bounds = [
        bound_of_rates(a, n, b, m, delta=delta, significance=significance)
        for a, b in ((yes, false), (n - yes, m - false))
    ]
    below = bool(bounds[1].max() > bounds[0].max())
    best = np.flatnonzero(bounds[below] == bounds[below].max())
    return Cut(float(cuts[best[len(best) // 2]]), below)


def bound_of_scores(
    inside: Float[np.ndarray, " N"], outside: Float[np.ndarray, " M"], *, delta: float = 0.0, significance: float = 0.05
) -> float:
    """A lower bound on epsilon from an attack's scores in either world: every other one chooses the cut, the rest test it.

    Nasr et al. 2023, arXiv:2302.07956, choose the cut on runs of their own too.
    """
    cut = best_cut(inside[::2], outside[::2], delta=delta, significance=significance)
    tested, others = inside[1::2], outside[1::2]
    found, alarms = (int(cut(scores).sum()) for scores in (tested, others))
    limits = {"delta": delta, "significance": significance}
    return float(bound_of_rates(found, len(tested), alarms, len(others), **limits))


def guesses(scores: Float[np.ndarray, " N"], members: Bool[np.ndarray, " N"], share: float) -> tuple[int, int]:
    """How many guesses are right, and how many were made: the highest scores are taken for members, as many lowest not.

    `share` of the rows is guessed; among equal scores, the first rows count as the lower ones.
    """
    half = int(share * len(scores) / 2)
    order = np.argsort(scores, kind="stable")
    lowest, highest = order[:half], order[len(order) - half :]
    return int((~members[lowest]).sum() + members[highest].sum()), 2 * half


def bound_of_guesses(right: int, made: int, rows: int, *, delta: float = 0.0, significance: float = 0.05) -> float:
    """A lower bound on epsilon from one run in which every row was in or out by a coin of its own.

    The greatest epsilon under which so many right guesses have a probability of at most the significance. At delta 0
    that is P(B >= right), B binomial with chance 1 / (1 + e^-epsilon) of each guess being right; delta adds
    2 rows delta max_i P(right > B >= right - i) / i. Steinke et al. 2023, arXiv:2305.08846.
    """
    if _chance(right, made, rows, 0.0, delta) > significance:
        return 0.0
    low, high = 0.0, 1.0
    while high < CAP and _chance(right, made, rows, high, delta) <= significance:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _chance(right, made, rows, middle, delta) <= significance else (low, middle)
    return low


def _chance(right: int, made: int, rows: int, epsilon: float, delta: float) -> float:
    """How probable so many right guesses are at most."""
    p = 1 / (1 + exp(-epsilon))
    whole = float(bdtrc(right - 1, made, p)) if right else 1.0
    if not delta or not right:
        return whole
    fewer = np.arange(1, right + 1)
    under = np.concatenate([bdtr(right - fewer[:-1] - 1.0, made, p), [0.0]])
    just_short = (bdtr(right - 1.0, made, p) - under) / fewer
    return min(1.0, whole + 2 * rows * delta * float(just_short.max()))


def row_epsilon(
    unlearned: Float[np.ndarray, " N"], retrained: Float[np.ndarray, " M"], *, delta: float = DELTA
) -> float | None:
    """The challenge's epsilon of one row: the largest over all tests by one cut and by an interval.

    Of a test, max{ln(1 - delta - FPR) - ln FNR, ln(1 - delta - FNR) - ln FPR}, not below 0: with one cut the sample of
    the larger median is expected above it, with an interval the one of the smaller range inside. Tests with one
    kind of error only are left out, for want of samples; without any error the cap, 50, counts, and so it does where
    one range is below 1 % of the other. Triantafillou et al. 2024, arXiv:2406.09073. Every cut and every interval (see
    `_interval`) is tried, where the authors try a hundred in each unit of phi. None where no test is left.
    """
    a, b = (unlearned, retrained) if np.median(unlearned) >= np.median(retrained) else (retrained, unlearned)
    narrow, wide = sorted((a, b), key=np.ptp)
    if np.ptp(wide) == 0:
        return CAP if narrow[0] != wide[0] else 0.0
    if np.ptp(narrow) < PEAKED * np.ptp(wide):
        return CAP
    values = np.unique(np.concatenate([a, b]))
    found = [_epsilons(*_one_cut(a, b, values), delta), _epsilons(*_interval(narrow, wide, values), delta)]
    known = np.concatenate(found)
    return float(known.max()) if len(known) else None


def _one_cut(
    high: Float[np.ndarray, " N"], low: Float[np.ndarray, " M"], values: Float[np.ndarray, " U"]
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """False negatives and false positives where a value and all above it is taken for the high sample."""
    missed, kept = (np.searchsorted(np.sort(x), values) / len(x) for x in (high, low))
    return missed, 1 - kept


def _interval(
    inner: Float[np.ndarray, " N"], outer: Float[np.ndarray, " M"], values: Float[np.ndarray, " U"]
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """The same where all from one number to another is taken for the inner sample.

    The upper one lies within 2 of the inner sample's largest value, and their distance within 2 of its range.
    """
    first, last = np.triu_indices(len(values))
    below, above = np.concatenate([[-np.inf], values[:-1]]), np.concatenate([values[1:], [np.inf]])
    least, most = np.maximum(values, inner.max() - WITHIN), np.minimum(above, inner.max() + WITHIN)
    narrow_enough = least[last] - values[first] <= np.ptp(inner) + WITHIN
    wide_enough = most[last] - below[first] > np.ptp(inner) - WITHIN  # neither neighbour is reached itself
    kept = ((least < above) & (least <= most))[last] & narrow_enough & wide_enough
    first, last = first[kept], last[kept]
    within = []
    for x in (inner, outer):
        ordered = np.sort(x)
        upto = np.searchsorted(ordered, values, "right")
        within.append((upto[last] - np.searchsorted(ordered, values)[first]) / len(x))
    return 1 - within[0], within[1]


def _epsilons(fnr: Float[np.ndarray, " T"], fpr: Float[np.ndarray, " T"], delta: float) -> Float[np.ndarray, " E"]:
    """Of the tests that are kept."""
    if ((fnr == 0) & (fpr == 0)).any():
        return np.array([CAP])
    kept = (fnr > 0) & (fpr > 0)
    miss, alarm = fnr[kept], fpr[kept]
    sides = _log_quotient(1 - delta - alarm, miss), _log_quotient(1 - delta - miss, alarm)
    return np.asarray(np.maximum(*sides).clip(0, CAP))


def greatest_epsilon(models: int) -> int:
    """What the challenge can measure with so many models of either kind: ln(N - 1), rounded up."""
    return ceil(log(models - 1)) if models > 1 else 0


def points(epsilon: float, models: int) -> float:
    """1, 1/2, 1/4, ... for each half that epsilon reaches; nothing from the greatest measurable one on."""
    return 0.0 if epsilon >= greatest_epsilon(models) else 2.0 ** -int(epsilon // BUCKET)
