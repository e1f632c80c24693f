"""The refusal rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.refusal import RULES, refuses
from unteach.audit.rouge import words
from unteach.audit.scoring import Directions, mean_score
from unteach.audit.statistics import Interval, wilson
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("refusalrate", tested_by="test_refusalrate_counts_what_declines_in_words_or_says_nothing")
@dataclass(frozen=True)
class RefusalRate:
    """How often the model declines to answer.

    Share of greedy answers that refuse by the phrase rules of `audit.refusal`, or that hold no word at all: who is
    given silence was not answered; 0 to 1. The note names the languages of the rules and counts the silent
    answers. The interval is Wilson's. Better low on what should stay; on the forget set a refusal can be what was
    asked for, and the goal is what a model never trained on the rows says.

    It does not show whether the answers that are given are right, and a refusal in other words or in another
    language is missed. Read it with `rougel` and `distinctoutputs`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"generation"})
    directions: ClassVar[Directions] = {"forget": "target", "holdout": "target", "retain": "down", "general": "down"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("rougel", "distinctoutputs", "perplexity")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        texts = evidence.generated(set_name)
        silent = [not words(text) for text in texts]
        values = [float(nothing or refuses(text)) for nothing, text in zip(silent, texts, strict=True)]
        note = f"phrases of {', '.join(RULES)}; {sum(silent)} of {len(texts)} say nothing"
        return mean_score(self, evidence, set_name, values, note=note, logs=False, interval=_wilson)


def _wilson(values: Sequence[float]) -> Interval | None:
    return wilson(round(sum(values)), len(values))
