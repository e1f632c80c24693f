"""The linguistic score."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from math import exp, log
from typing import ClassVar

import numpy as np

from unteach.audit.aggregate import FAR
from unteach.audit.evidence import Evidence
from unteach.audit.rouge import words
from unteach.audit.scoring import Directions, direction, nothing
from unteach.audit.statistics import Interval, percentiles, resampled_means
from unteach.measure.answers import Answer, ask
from unteach.registry import metric
from unteach.schema import InputError, Need, Score

SILENT, RICHEST = 1000.0, 1e6  # Brunet's index of no word, and the greatest value of Honore's


@metric("linguisticscore", tested_by="test_linguisticscore_follows_the_formula_from_three_means")
@dataclass(frozen=True)
class LinguisticScore:
    """How fluent and rich the model's answers are.

    Harmonic mean of 1/(1 + PPL), 1/(1 + BI) and HS/(1 + HS), each from the mean over the set's greedy answers; above
    0, below 1. PPL is the perplexity of an answer, given the question, under the model as it was before (end-of-text
    left out). Of the N words of an answer V are different and V1 stand once: BI = N^(V^-0.165) (Brunet 1978; lower
    is richer, 1000 for no word) and HS = 100 ln N / (1 - V1/V + 0.1) (Honore 1979, damped; 0 for N < 2, at most 10^6).
    Xu et al. 2025, arXiv:2502.11190; their words include punctuation marks, these are of every script and do not.
    The note has the three means, since only PPL sees that words are nonsense: BI and HS reward a salad of rare
    ones, and the last term is about 1 for every text.

    It does not show whether an answer is right, and a canned refusal scores well.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"generation", "original"})
    directions: ClassVar[Directions] = {"forget": "up", "retain": "up", "general": "up"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("refusalrate", "distinctoutputs", "krr")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        texts, labels = evidence.generated(set_name), evidence.labels(set_name)
        spoken = [words(text) for text in texts]
        richness = [(brunet(w), honore(w)) for w in spoken]
        surprise, why = _surprise(evidence, set_name, texts)
        sums = np.array([(p or 0.0, p is not None, *rich) for p, rich in zip(surprise, richness, strict=True)])
        seen, known, brunets, honores = sums.mean(0)
        note = f"Brunet {brunets:.2f}, Honore {honores:.0f}"
        if why or not known:
            return nothing(self, evidence, set_name, f"{note}; {why or 'no answer has a word to read'}")
        value = linguistic(seen / known, brunets, honores)
        note = f"perplexity under the original {seen / known:.4g}, {note}"
        if value is None:
            return nothing(self, evidence, set_name, f"{note}; no answer has two words")
        own = {
            label: score
            for label, p, rich in zip(labels, surprise, richness, strict=True)
            if p is not None and (score := linguistic(p, *rich)) is not None
        }
        if missing := surprise.count(None):
            note += f"; {missing} of {len(labels)} without a perplexity (no word)"
        low, high = _interval(sums) or (None, None)
        made = direction(self, evidence, set_name)
        return Score("linguisticscore", value, low, high, len(labels), own, note, made)


def brunet(spoken: Sequence[str]) -> float:
    """N^(V^-0.165) of N words, V of them different."""
    return float(len(spoken) ** (len({*spoken}) ** -0.165)) if spoken else SILENT


def honore(spoken: Sequence[str]) -> float:
    """100 ln N / (1 - V1/V + 0.1) of N words, V of them different and V1 said once."""
    if len(spoken) < 2:
        return 0.0
    counts = Counter(spoken).values()
    return min(RICHEST, 100 * log(len(spoken)) / (1.1 - sum(n == 1 for n in counts) / len(counts)))


def linguistic(perplexity: float, brunets: float, honores: float) -> float | None:
    """The harmonic mean of the three parts; None where Honore's is 0."""
    return 3 / ((1 + perplexity) + (1 + brunets) + (1 + honores) / honores) if honores else None


def _surprise(evidence: Evidence, set_name: str, texts: Sequence[str]) -> tuple[list[float | None], str]:
    """Perplexity of each text under the original, and why there is none."""
    unknown: list[float | None] = [None] * len(texts)
    then = evidence.original
    if then is None:
        return unknown, "no original model to read the answers"
    if then.again is None or not then.observable:
        return unknown, "the original model cannot be asked again"
    rows = [replace(r, answer=text) for r, text in zip(evidence.sets[set_name], texts, strict=True)]
    with ExitStack() as stack:
        with suppress(InputError):
            lm = stack.enter_context(then.again()).held
            if lm is not None and lm.digest() == then.digest:  # its only copy may be wearing the edit just now
                return [
                    _perplexity(a.words) if words(r.answer) else None for r, a in zip(rows, ask(lm, rows), strict=True)
                ], ""
        return unknown, "the original model cannot be had beside this one"


def _perplexity(answer: Answer) -> float | None:
    return exp(min(FAR, -float(answer.logps.mean()))) if len(answer.logps) else None


def _interval(sums: np.ndarray) -> Interval | None:
    if len(sums) < 2:
        return None
    drawn = [
        linguistic(seen / known, brunets, honores)
        for seen, known, brunets, honores in resampled_means(sums[np.lexsort(sums.T)])
        if known
    ]
    found = [value for value in drawn if value is not None]
    return percentiles(np.array(found)) if found else None
