"""Membership inference: how well one number a row tells forgotten rows from rows never seen."""

from collections.abc import Callable, Iterable, Sequence
from math import isnan

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import UNOBSERVABLE, Metric, direction, nothing
from unteach.audit.statistics import auc, auc_interval, tpr_at
from unteach.registry import name_of
from unteach.schema import InputError, Score

Statistic = Callable[[str], Iterable[float | None]]  # of the rows of a set; lower for members


def membership(metric: Metric, evidence: Evidence, set_name: str, statistic: Statistic, *, note: str = "") -> Score:
    """AUC of a statistic that is lower for members, between a set and all holdout sets."""
    forget = values(evidence, [set_name], statistic)
    holdout = values(evidence, evidence.of_role("holdout"), statistic)
    if not forget or not holdout:
        return nothing(metric, evidence, set_name, why_none(evidence))
    members, others = list(forget.values()), list(holdout.values())
    value = auc(members, others)
    low, high = auc_interval(value, len(members), len(others))
    found = f"{100 * tpr_at(members, others, 0.01):.0f} % found at 1 % false alarms, {len(others)} holdout rows"
    return Score(
        name_of(metric), value, low, high, len(members), forget | holdout,
        "; ".join(filter(None, (note, found))), direction(metric, evidence, set_name),
    )  # fmt: skip


def values(evidence: Evidence, sets: Sequence[str], statistic: Statistic) -> dict[str, float]:
    """The statistic of every row that has one, by the row's label."""
    found = {label: value for s in sets for label, value in zip(evidence.labels(s), statistic(s), strict=True)}
    return {label: value for label, value in found.items() if value is not None and not isnan(value)}


def why_none(evidence: Evidence) -> str:
    """Why rows could not be told apart."""
    return "no holdout rows to compare with" if evidence.observable else UNOBSERVABLE


def negative(value: float | None) -> float | None:
    """A log-probability turned round, so that it is lower for members."""
    return None if value is None else -value


def check_share(metric: str, k: float) -> None:
    """Refuse an option `k` that is no share of the tokens."""
    if not 0 < k <= 1:
        raise InputError(f"option 'k' of {metric} is {k}; it is a share of the tokens, above 0 and at most 1")
