"""What a metric is, and how values of records become a score with its uncertainty and its reasons."""

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import ClassVar, Protocol

import numpy as np

from unteach.audit.evidence import Evidence
from unteach.audit.statistics import Interval, bootstrap_mean
from unteach.registry import name_of
from unteach.schema import Direction, Need, Score

UNOBSERVABLE = "not observable behind a guard or a server"
Directions = Mapping[str, Direction]
KNOWLEDGE: Directions = {"forget": "target", "holdout": "target", "retain": "up", "general": "up"}


class Metric(Protocol):
    """A frozen dataclass that turns the evidence on one set into a score.

    `needs` says what has to be there and so what is gathered; a need that names a role of sets ("holdout",
    "retain") is met by the answers on those sets too, "retain" by everything that should stay. `directions`
    holds the roles of the sets that the metric has a meaning on. `bounds` are its least and greatest value;
    `companions` are the metrics that expose the model which wins this one without having forgotten.
    """

    needs: ClassVar[frozenset[Need]]
    directions: ClassVar[Directions]
    bounds: ClassVar[tuple[float, float]]
    companions: ClassVar[tuple[str, ...]]

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score: ...


def mean_score(
    metric: Metric, evidence: Evidence, set_name: str, values: Sequence[float | None], *,
    why_none: str = "no answer token", note: str = "", logs: bool = True,
    interval: Callable[[Sequence[float]], Interval | None] = bootstrap_mean,
) -> Score:  # fmt: skip
    """The mean of one value a record, with a 95 % interval; undefined values are left out and counted.

    `logs` says that the values come from log-probabilities, which a guard may make meaningless.
    """
    labels = evidence.labels(set_name)
    known = {k: float(v) for k, v in zip(labels, values, strict=True) if v is not None and not isnan(v)}
    missing = len(labels) - len(known)
    reasons = [note] if note else []
    if logs and not evidence.observable:
        reasons.append(UNOBSERVABLE)
    elif missing:
        reasons.append(f"{missing} of {len(labels)} undefined ({why_none})")
    if not known:
        return nothing(metric, evidence, set_name, "; ".join(reasons))
    found = list(known.values())
    low, high = interval(found) or (None, None)
    return Score(
        name_of(metric), float(np.mean(found)), low, high, len(found), known, "; ".join(reasons),
        direction(metric, evidence, set_name),
    )  # fmt: skip


def nothing(metric: Metric, evidence: Evidence, set_name: str, why: str) -> Score:
    """A score without a value, and why there is none."""
    return Score(name_of(metric), None, note=why, direction=direction(metric, evidence, set_name))


def direction(metric: Metric, evidence: Evidence, set_name: str) -> Direction:
    """Which way is better on this set, by its role."""
    return metric.directions.get(evidence.roles[set_name], "target")
