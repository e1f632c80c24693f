"""Membership inference: how well one number a row tells forgotten rows from rows never seen."""

from collections.abc import Callable, Sequence
from math import isnan

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import UNOBSERVABLE, Metric, direction, nothing
from unteach.audit.statistics import auc, auc_interval, tpr_at
from unteach.measure.answers import Answer
from unteach.registry import name_of
from unteach.schema import Score


def membership(
    metric: Metric, evidence: Evidence, set_name: str, statistic: Callable[[Answer], float | None], *, note: str = ""
) -> Score:
    """AUC of a statistic that is lower for members, between a set and all holdout sets."""
    forget = _values(evidence, [set_name], statistic)
    holdout = _values(evidence, evidence.of_role("holdout"), statistic)
    if not forget or not holdout:
        why = "no holdout rows to compare with" if evidence.observable else UNOBSERVABLE
        return nothing(metric, evidence, set_name, why)
    members, others = list(forget.values()), list(holdout.values())
    value = auc(members, others)
    low, high = auc_interval(value, len(members), len(others))
    found = f"{100 * tpr_at(members, others, 0.01):.0f} % found at 1 % false alarms, {len(others)} holdout rows"
    return Score(
        name_of(metric), value, low, high, len(members), forget | holdout,
        "; ".join(filter(None, (note, found))), direction(metric, evidence, set_name),
    )  # fmt: skip


def _values(evidence: Evidence, sets: Sequence[str], statistic: Callable[[Answer], float | None]) -> dict[str, float]:
    found = {
        label: statistic(answer)
        for s in sets
        for label, answer in zip(evidence.labels(s), evidence.answers(s), strict=True)
    }
    return {label: value for label, value in found.items() if value is not None and not isnan(value)}
