"""Perplexity."""

from dataclasses import dataclass
from math import exp, isnan
from typing import ClassVar

import numpy as np

from unteach.audit.aggregate import FAR
from unteach.audit.evidence import Evidence
from unteach.audit.scoring import UNOBSERVABLE, Directions, direction, nothing
from unteach.audit.statistics import percentiles, resampled_means
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("perplexity", tested_by="test_perplexity_of_uniform_logits_is_the_size_of_the_vocabulary")
@dataclass(frozen=True)
class Perplexity:
    """How surprised the model is by the recorded answers.

    exp of the mean negative log-probability over all answer tokens of the set, end-of-text included; 1 or
    more (capped at e^690). `per_record` holds each row's own. Better low on what should stay; on the forget
    set it should be what a model never trained on it shows.

    It does not show what the model would say: greedy answers survive a temperature that doubles it.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    directions: ClassVar[Directions] = {"forget": "target", "holdout": "target", "retain": "down", "general": "down"}
    bounds: ClassVar[tuple[float, float]] = (1.0, float("inf"))
    companions: ClassVar[tuple[str, ...]] = ("rougel", "exactmemorization")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        labels = evidence.labels(set_name)
        found = {
            label: (min(-float(a.logps.sum()), FAR * len(a.logps)), len(a.logps))
            for label, a in zip(labels, evidence.answers(set_name), strict=True)
            if len(a.logps) and not isnan(a.logps.sum())
        }
        if not found:
            return nothing(self, evidence, set_name, "no answer token" if evidence.observable else UNOBSERVABLE)
        sums = np.array(list(found.values()), float)
        low = high = None
        if len(sums) > 1:
            drawn = resampled_means(sums[np.lexsort(sums.T)])
            low, high = (_exp(edge) for edge in percentiles(drawn[:, 0] / drawn[:, 1]))
        missing = len(labels) - len(sums)
        return Score(
            "perplexity", _exp(sums[:, 0].sum() / sums[:, 1].sum()), low, high, len(sums),
            {label: _exp(lost / n) for label, (lost, n) in found.items()},
            f"{missing} of {len(labels)} undefined (no answer token)" if missing else "",
            direction(self, evidence, set_name),
        )  # fmt: skip


def _exp(loss: float) -> float:
    return exp(min(loss, FAR))
