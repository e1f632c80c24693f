"""Memorisation accuracy."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import KNOWLEDGE, Directions, mean_score
from unteach.measure.extraction import memorization_accuracy
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("memorizationaccuracy", tested_by="test_memorizationaccuracy_counts_the_tokens_of_the_question_too")
@dataclass(frozen=True)
class MemorizationAccuracy:
    """The share of a whole row's tokens, question included, that the model would choose itself.

    Mean over rows of the share of tokens after the first that are the model's most likely one given all before
    them, the end-of-text token left out; 0 to 1. Jang et al. 2023, arXiv:2210.01504. On a plain text it is their
    measure, and equal to `exactmemorization`.

    It does not show whether the answer is known: a question is seldom learned to be said, and its wording is
    often plain. Read it with `exactmemorization`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"question"})
    directions: ClassVar[Directions] = KNOWLEDGE
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("exactmemorization", "extractionlikelihood", "perplexity")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        return mean_score(self, evidence, set_name, evidence.measured(set_name, memorization_accuracy))
