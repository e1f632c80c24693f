"""Agreement with the retrained model."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.comparison import compared
from unteach.audit.evidence import Evidence
from unteach.audit.scoring import Directions
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("agreement", tested_by="test_agreement_is_the_share_of_tokens_at_which_both_models_choose_the_same")
@dataclass(frozen=True)
class Agreement:
    """How often the model and the retrained one would choose the same next token.

    Mean over rows of the share of the answer's tokens, end-of-text included, at whose place both models have the
    same most likely token; 0 to 1, better high on every set: this is the consistency of a forgetting with
    retraining. Xu et al. 2023, arXiv:2306.03558. Both read the recorded answer, whatever they would have said.

    It does not show what stands behind the first choice, and two retrained models do not agree everywhere either.
    Read it with `kl`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"retrained_logits"})
    directions: ClassVar[Directions] = dict.fromkeys(("forget", "retain", "general", "holdout"), "up")
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("kl", "exactmemorization")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        return compared(self, evidence, set_name, lambda d: d.agreement)
