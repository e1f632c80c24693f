"""Bounded divergence from the retrained model."""

from dataclasses import dataclass
from math import log
from typing import ClassVar

from unteach.audit.comparison import compared
from unteach.audit.evidence import Evidence
from unteach.audit.scoring import Directions
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("js", tested_by="test_kl_and_js_are_those_of_two_distributions_written_down")
@dataclass(frozen=True)
class JS:
    """How far the model's and the retrained model's expectations are from their middle.

    Mean over rows, and over the tokens of each answer, end-of-text included, of the Jensen-Shannon divergence
    KL(retrained || m) / 2 + KL(model || m) / 2 over the whole vocabulary, m being the mean of both distributions,
    in nats a token; 0 for equal models, at most ln 2. Lin 1991. Unlike `kl` no single token can decide it.

    It does not show damage on the forget set: read it on the retain set too. How far two retrained models are
    from each other is the level to compare with.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"retrained_logits"})
    directions: ClassVar[Directions] = dict.fromkeys(("forget", "retain", "general", "holdout"), "down")
    bounds: ClassVar[tuple[float, float]] = (0.0, log(2))
    companions: ClassVar[tuple[str, ...]] = ("kl", "agreement", "probability")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        return compared(self, evidence, set_name, lambda d: d.js)
