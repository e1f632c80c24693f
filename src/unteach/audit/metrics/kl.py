"""Divergence from the retrained model."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.comparison import compared
from unteach.audit.evidence import Evidence
from unteach.audit.scoring import Directions
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("kl", tested_by="test_kl_and_js_are_those_of_two_distributions_written_down")
@dataclass(frozen=True)
class KL:
    """How far the model's expectations are from those of the retrained model.

    Mean over rows, and over the tokens of each answer, end-of-text included, of KL(retrained || model) over the
    whole vocabulary, in nats a token; 0 or more, 0 for equal models. Kullback and Leibler 1951. It grows without
    limit where the model rules out what the retrained one expects.

    It does not show damage on the forget set: uniform logits can come nearer there than an original that is sure
    of what the retrained model never saw. Read it on the retain set too, and with `agreement`. How far two
    retrained models are from each other is the level to compare with.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"retrained_logits"})
    directions: ClassVar[Directions] = dict.fromkeys(("forget", "retain", "general", "holdout"), "down")
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    companions: ClassVar[tuple[str, ...]] = ("js", "agreement", "probability")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        return compared(self, evidence, set_name, lambda d: d.kl)
