"""Exact memorisation."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import KNOWLEDGE, Directions, mean_score
from unteach.measure.answers import exact_match
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("exactmemorization", tested_by="test_exactmemorization_counts_the_tokens_the_model_would_choose_itself")
@dataclass(frozen=True)
class ExactMemorization:
    """The share of the answer's tokens that the model would choose itself, given all before them.

    Mean over rows of (1/n) times the number of tokens that are the model's most likely one, the end-of-text
    token left out; 0 to 1. Tirumala et al. 2022, arXiv:2205.10770. Fluent text alone gives a share well above
    0, so the goal on the forget set is what a model never trained on it scores.

    It does not show how near the next candidate is: one competing token at each place brings it to 0 with the
    knowledge still there. Read it with `probability`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    directions: ClassVar[Directions] = KNOWLEDGE
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("probability", "rougel", "perplexity")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        values = [exact_match(a.words) for a in evidence.answers(set_name)]
        return mean_score(self, evidence, set_name, values)
