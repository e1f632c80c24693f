"""Probability of the answer."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import KNOWLEDGE, Directions, mean_score
from unteach.measure import answers as measure
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("probability", tested_by="test_probability_is_the_geometric_mean_of_the_token_probabilities")
@dataclass(frozen=True)
class Probability:
    """How likely the recorded answer is, per token.

    Mean over rows of P(answer | prompt)^(1/n), the geometric mean over the n tokens of the answer, its
    end-of-text token included; 0 to 1. Maini et al. 2024, arXiv:2401.06121. Better high on what should stay;
    on the forget set it should be what a model never trained on it says.

    It does not show whether the model would still say the answer: dividing all logits by 5 lowers it tenfold
    and changes no greedy output. Read it with `rougel` or `exactmemorization`, and on the retain set.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    directions: ClassVar[Directions] = KNOWLEDGE
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("rougel", "exactmemorization", "perplexity")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        values = [measure.probability(a) for a in evidence.answers(set_name)]
        return mean_score(self, evidence, set_name, values)
