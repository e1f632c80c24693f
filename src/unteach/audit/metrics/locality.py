"""Locality of corrected facts."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import UNOBSERVABLE, Directions, mean_score, nothing
from unteach.measure.answers import exact_match
from unteach.measure.chosen import chosen
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("locality", tested_by="test_locality_is_agreement_with_the_original_and_not_accuracy")
@dataclass(frozen=True)
class Locality:
    """Whether the model still answers as before what the facts have nothing to do with.

    Mean over neighbouring questions of the share of the recorded answer's tokens, the end-of-text token left out,
    at whose place the model's most likely token is the one that was the original's; 0 to 1, better high.
    Yao et al. 2023, arXiv:2305.13172. This is agreement, right or wrong; the note has the accuracy, the share of
    tokens at which the recorded answer is chosen.

    It does not show an edit that took no effect, which scores 1, nor changes below the first choice: read it with
    `reliability` and with the neighbours' part of `romescore`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"original"})
    directions: ClassVar[Directions] = {"neighbours": "up"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("reliability", "romescore", "generalisation")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        now, then = evidence.measured(set_name, chosen), evidence.original  # asked of the original too, for later
        if then is None:
            return nothing(self, evidence, set_name, "no model before the edit to compare with")
        if not then.observable:
            return nothing(self, evidence, set_name, UNOBSERVABLE)
        values = [_agreement(a, b) for a, b in zip(now, then.measured(set_name, chosen), strict=True)]
        right = [hit for a in evidence.answers(set_name) if (hit := exact_match(a.words)) is not None]
        note = f"accuracy {sum(right) / len(right):.3f}" if right else ""
        return mean_score(
            self, evidence, set_name, values, note=note, why_none="no answer token, or not the same tokens"
        )


def _agreement(now: tuple[int, ...] | None, then: tuple[int, ...] | None) -> float | None:
    if not now or not then or len(now) != len(then):
        return None
    return sum(a == b for a, b in zip(now, then, strict=True)) / len(now)
