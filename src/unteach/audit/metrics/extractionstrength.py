"""Extraction strength."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import KNOWLEDGE, Directions, mean_score
from unteach.measure.answers import extraction_strength
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("extractionstrength", tested_by="test_extractionstrength_is_zero_for_a_model_that_completes_nothing")
@dataclass(frozen=True)
class ExtractionStrength:
    """How much of the answer the model completes without a mistake after being given its beginning.

    Mean over rows of 1 - k/n, with k the fewest of the n answer tokens (the end-of-text token left out) after
    which the most likely token is the answer's to the end; 0 to 1. Carlini et al. 2021, arXiv:2012.07805, in
    the teacher-forced form. A model that completes nothing scores 0.

    It does not show what one wrong token hides: spoiling the last token alone brings it to 0. Read it with
    `exactmemorization`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    directions: ClassVar[Directions] = KNOWLEDGE
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("exactmemorization", "rougel", "probability")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        values = [extraction_strength(a.words) for a in evidence.answers(set_name)]
        return mean_score(self, evidence, set_name, values)
