"""The privacy leak of MUSE."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.membership import check_share, negative, values, why_none
from unteach.audit.scoring import UNOBSERVABLE, Directions, direction, nothing
from unteach.audit.statistics import Interval, auc, auc_gap_interval, auc_interval
from unteach.measure.answers import min_k
from unteach.registry import metric
from unteach.schema import Need, Score

COIN = 0.5

_Sides = tuple[dict[str, float], dict[str, float]]  # holdout rows and forget rows, by their labels


@metric("privleak", tested_by="test_privleak_is_zero_for_the_retrained_model_and_minus_a_hundred_for_the_original")
@dataclass(frozen=True)
class PrivLeak:
    """How far membership inference is from what it is on a retrained model, in per cent.

    100 * (AUC - AUC of the retrained model) / AUC of the retrained model, with AUC the probability that a holdout
    row looks more like a member than a forget row does, by the mean of the smallest share `k` of token
    log-probabilities; -100 or more. Shi et al. 2024, arXiv:2407.06460. Best 0: below it the rows still show, at
    -100 all of them; above it their absence shows. Without a retrained model its AUC is taken as 0.5, and the
    note says so.

    It does not show damage: a destroyed model scores near 0. Read it with `perplexity` on the retain set.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "holdout"})
    directions: ClassVar[Directions] = {"forget": "zero"}
    bounds: ClassVar[tuple[float, float]] = (-100.0, float("inf"))
    companions: ClassVar[tuple[str, ...]] = ("miamink", "mialoss", "perplexity", "modelutility")
    k: float = 0.4

    def __post_init__(self) -> None:
        check_share("privleak", self.k)

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        now, then = self._sides(evidence, set_name), None
        if not all(now):
            return nothing(self, evidence, set_name, why_none(evidence))
        if evidence.retrained is not None:
            then = self._sides(evidence.retrained, set_name)
            if not all(then):
                return nothing(self, evidence, set_name, UNOBSERVABLE)
        found, expected = _auc(now), _auc(then) if then else COIN
        if not expected:
            return nothing(self, evidence, set_name, "by the retrained model, no holdout row looks like a member")
        value = 100 * (found / expected - 1)
        low, high = _interval(now, then, value)
        against = "the retrained model's" if then else "no retrained model: against a coin's"
        note = f"k = {self.k:g}; AUC {found:.3f}, {against} {expected:.3f}"
        way = direction(self, evidence, set_name)
        return Score("privleak", value, low, high, len(now[1]), now[1] | now[0], note, way)

    def _sides(self, evidence: Evidence, set_name: str) -> _Sides:
        def statistic(s: str) -> Iterator[float | None]:
            return (negative(min_k(a.words, self.k)) for a in evidence.answers(s))

        holdout = values(evidence, evidence.of_role("holdout"), statistic)
        return holdout, values(evidence, [set_name], statistic)


def _auc(sides: _Sides) -> float:
    return auc(*(list(side.values()) for side in sides))


def _interval(now: _Sides, then: _Sides | None, value: float) -> tuple[float | None, float | None]:
    if then is None:
        edges: Interval | None = auc_interval(_auc(now), *map(len, now))
        scale, shift = 100 / COIN, 100.0
    else:
        pairs = [[k for k in a if k in b] for a, b in zip(now, then, strict=True)]
        first, second = (([of[0][k] for k in pairs[0]], [of[1][k] for k in pairs[1]]) for of in (now, then))
        edges, scale, shift = auc_gap_interval(first, second, relative=True), 100.0, 0.0
    if edges is None:
        return None, None
    low, high = (scale * edge - shift for edge in edges)
    return min(low, value), max(high, value)
