"""TOFU's model utility."""

from dataclasses import dataclass
from math import isnan
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from unteach.audit.aggregate import Definition, model_utility, share_of_choices, truthful
from unteach.audit.evidence import Evidence
from unteach.audit.metrics.truthratio import log_ratios
from unteach.audit.rouge import rouge_l
from unteach.audit.scoring import UNOBSERVABLE, Directions, direction, nothing
from unteach.audit.statistics import percentiles, resampled_means
from unteach.measure.answers import loss, probability
from unteach.registry import metric
from unteach.schema import Need, Score

TERMS = ("probability", "rougel", "truthratio")


@metric("modelutility", tested_by="test_modelutility_is_the_harmonic_mean_of_its_terms")
@dataclass(frozen=True)
class ModelUtility:
    """One number for how well the model still does what should stay.

    Harmonic mean of probability, ROUGE-L recall and truth ratio on the retain set and on every general set
    (TOFU: real authors and world facts), nine terms where there are three sets; 0 to 1, better high. On general
    sets the probability is normalised over the right and the wrong answers. The note names the sets and shows
    every term. Maini et al. 2024, arXiv:2401.06121.

    It does not show forgetting: doing nothing is best. And one term near 0 decides it: eight terms of 0.6 and
    one of 0.001 give 0.009. Sets whose rows have no wrong answers are left out.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"retain", "generation", "perturbed"})
    directions: ClassVar[Directions] = {"retain": "up"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("rougel", "probability", "forgetquality")
    definition: Definition = "geometric"

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        if not evidence.observable:
            return nothing(self, evidence, set_name, UNOBSERVABLE)
        tables = {s: self._table(evidence, s) for s in (set_name, *evidence.of_role("general"))}
        tables = {s: t for s, t in tables.items() if len(t)}
        means = {s: dict(zip(TERMS, map(float, t.mean(0)), strict=True)) for s, t in tables.items()}
        value = model_utility(means)
        if value is None:
            return nothing(self, evidence, set_name, "no set with wrong answers to compare with")
        low, high = _interval(list(tables.values()))
        shown = "; ".join(f"{s}: " + ", ".join(f"{t} {v:.4f}" for t, v in of.items()) for s, of in means.items())
        note = f"harmonic mean of {3 * len(means)} ({self.definition} truth ratio): {shown}"
        rows = sum(map(len, tables.values()))
        return Score("modelutility", value, low, high, rows, note=note, direction=direction(self, evidence, set_name))

    def _table(self, evidence: Evidence, set_name: str) -> NDArray[np.float64]:
        """(rows, 3) of the terms, rows with an undefined one left out."""
        ratios = log_ratios(evidence, set_name, self.definition)
        texts = zip(evidence.sets[set_name], evidence.generated(set_name), strict=True)
        rouges = [rouge_l(record.answer, text) for record, text in texts]
        chances = _probabilities(evidence, set_name)
        rows = [
            (p, rouge.recall, truthful(ratio))
            for p, rouge, ratio in zip(chances, rouges, ratios, strict=True)
            if p is not None and not isnan(p) and rouge is not None and ratio is not None
        ]
        return np.array(rows, float).reshape(-1, len(TERMS))


def _probabilities(evidence: Evidence, set_name: str) -> list[float | None]:
    if evidence.roles[set_name] == "retain":
        return [probability(a) for a in evidence.answers(set_name)]
    found: list[float | None] = []
    for right, *wrong in evidence.choices(set_name):
        correct, others = loss(right), [lost for a in wrong if (lost := loss(a)) is not None]
        found.append(None if correct is None else share_of_choices(correct, others))
    return found


def _interval(tables: list[NDArray[np.float64]]) -> tuple[float | None, float | None]:
    if min(map(len, tables)) < 2:
        return None, None
    means = np.concatenate([resampled_means(t, stream=i) for i, t in enumerate(tables)], 1)
    with np.errstate(divide="ignore", over="ignore"):  # a term of 0 makes the mean 0
        return percentiles(means.shape[1] / (1 / means).sum(1))
