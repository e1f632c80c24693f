"""Equivalence to retraining over seeds: two one-sided tests."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite, sqrt
from statistics import fmean, variance

from scipy.special import stdtr, stdtrit

from unteach.report.spread import Equivalence, Seeds, Spread
from unteach.schema import InputError

LEAST = 3  # models on either side
ALPHA = 0.05


def tost(first: Sequence[float], second: Sequence[float], margin: float) -> Equivalence:
    """Two one-sided Welch tests. Schuirmann 1987, doi:10.1007/BF01068419; Welch 1947, doi:10.1093/biomet/34.1-2.28.

    With d the difference of the means and s its standard error, p is the larger of P(T > (d + margin)/s) and
    P(T < (d - margin)/s), T being Student's with Welch's degrees of freedom. "equivalent": p < 0.05, so that the
    whole 90 % interval of d lies inside the margin. "different": it lies wholly outside. Else, and for
    fewer than three values on a side, "not decided": that nothing was shown is no sign of equivalence.

    It takes the values for independent and about normal. With three seeds it is weak. It compares means: models that
    are alike on average may differ on every record.
    """
    _above_nothing(margin)
    n, m = len(first), len(second)
    if min(n, m) < LEAST:
        return Equivalence("not decided", margin, reason=f"{n} and {m} models, {LEAST} of each are needed")
    gap, mine, theirs = fmean(first) - fmean(second), variance(first) / n, variance(second) / m
    error = sqrt(mine + theirs)
    if error == 0:  # the limit of the test; there is no p
        low = high = gap
        p = None
    else:
        share = mine / (mine + theirs)
        freedom = 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1))
        p = max(float(stdtr(freedom, -(gap + margin) / error)), float(stdtr(freedom, (gap - margin) / error)))
        half = float(stdtrit(freedom, 1 - ALPHA)) * error
        low, high = gap - half, gap + half
    if -margin < low and high < margin:
        return Equivalence("equivalent", margin, low, high, p)
    outside = low > margin or high < -margin
    return Equivalence("different" if outside else "not decided", margin, low, high, p)


def compared(found: Seeds, sizes: Mapping[str, float]) -> Seeds:
    """The same spreads, each tested against the retrained models' where its metric has a margin.

    A run without a value leaves the rest a choice of the survivors, so there nothing is decided.
    """
    metrics = dict.fromkeys(s.metric for s in found.spreads)
    for metric in sizes:
        if metric not in metrics:
            raise InputError(f"no run measured '{metric[:40]}'; give margins for {', '.join(metrics) or 'nothing'}")
        _above_nothing(sizes[metric])
    tested = (
        replace(s, test=_test(s, reference, sizes[metric])) if metric in sizes and s is not reference else s
        for _, metric, block, reference in found.blocks()
        for s in block
    )
    return replace(found, spreads=tuple(tested))


def margins(words: Sequence[str]) -> dict[str, float]:
    """Margins by metric, from words such as `probability=0.05`."""
    found = {}
    for word in words:
        metric, _, size = word.partition("=")
        try:
            found[metric] = float(size)
        except ValueError:
            raise InputError(f"--margin '{word[:40]}' is not understood; write METRIC=NUMBER") from None
    return found


def _above_nothing(margin: float) -> None:
    if not (isfinite(margin) and margin > 0):
        raise InputError(f"a margin of {margin:g} cannot be tested; give a difference above 0 that would not matter")


def _test(spread: Spread, reference: Spread | None, margin: float) -> Equivalence:
    if reference is None:
        return Equivalence("not decided", margin, reason="there is no retrained model")
    if spread.undefined or reference.undefined:
        return Equivalence("not decided", margin, reason="a run has no value")
    return tost(list(spread.values.values()), list(reference.values.values()), margin)
