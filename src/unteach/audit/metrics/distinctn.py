"""Distinct n-grams."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unteach.audit.evidence import Evidence
from unteach.audit.rouge import words
from unteach.audit.scoring import Directions, direction, nothing
from unteach.audit.statistics import percentiles, resampled_means
from unteach.registry import metric
from unteach.schema import InputError, Need, Score


@metric("distinctn", tested_by="test_distinctn_counts_each_n_gram_of_all_answers_once")
@dataclass(frozen=True)
class DistinctN:
    """How many different runs of words there are in the model's answers.

    Number of different n-grams in all greedy answers of a set / number of n-grams in them; above 0, to 1. Li et al.
    2016, arXiv:1510.03055 (distinct-1 and distinct-2), with words of every script. An n-gram that stands k times
    counts 1/k at each place, so that an answer has a share of its own (`per_record`) and their sum over all
    answers is the number of different ones; the interval is over answers. Better high on what should stay.

    It does not show sense: random words score highest. And it falls with the amount of text: compare only answers
    to the same questions, and about as long.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"generation"})
    directions: ClassVar[Directions] = {"forget": "target", "retain": "up", "general": "up"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("distinctoutputs", "ngramentropy", "perplexity")
    n: int = 2

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"option 'n' of distinctn is {self.n}; it is a number of words, at least 1")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        labels = evidence.labels(set_name)
        grams = {k: _grams(text, self.n) for k, text in zip(labels, evidence.generated(set_name), strict=True)}
        grams = {label: found for label, found in grams.items() if found}
        if not grams:
            return nothing(self, evidence, set_name, f"no answer of {self.n} words or more")
        counts = Counter(gram for found in grams.values() for gram in found)
        sums = np.array([(sum(1 / counts[gram] for gram in found), len(found)) for found in grams.values()])
        low = high = None
        value = float(sums[:, 0].sum() / sums[:, 1].sum())
        if len(sums) > 1:
            drawn = resampled_means(sums[np.lexsort(sums.T)])
            low, high = percentiles(drawn[:, 0] / drawn[:, 1])
            low, high = min(low, value), max(high, value)
        shares = dict(zip(grams, map(float, sums[:, 0] / sums[:, 1]), strict=True))
        short = len(labels) - len(grams)
        note = f"n = {self.n}" + (f"; {short} of {len(labels)} answers are shorter" if short else "")
        way = direction(self, evidence, set_name)
        return Score("distinctn", value, low, high, len(sums), shares, note, way)


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    said = words(text)
    return list(zip(*(said[i:] for i in range(n)), strict=False))
