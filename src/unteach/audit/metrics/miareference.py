"""Membership inference from the loss, set against the retrained model's."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.membership import membership
from unteach.audit.scoring import UNOBSERVABLE, Directions, nothing
from unteach.measure.answers import loss
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("miareference", tested_by="test_miareference_takes_away_what_the_retrained_model_finds_hard_too")
@dataclass(frozen=True)
class MIAReference:
    """How well an attacker who has the retrained model tells the rows from unseen ones.

    AUC as in `mialoss`, of the loss minus the retrained model's loss on the same row; 0 to 1, with 0.5 no better
    than a coin. Carlini et al. 2021, arXiv:2012.07805, with the model that never saw the rows as the reference.
    What is hard in itself is hard for both models, so a smaller trace shows than in the loss alone.

    The goal is 0.5. Training on other paths shifts single rows either way, and a destroyed model turns the order
    of the reference round: read it with `perplexity` on the retain set.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "holdout", "retrained"})
    directions: ClassVar[Directions] = {"forget": "target"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("mialoss", "perplexity", "modelutility")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        reference = evidence.retrained
        if reference is None:
            return nothing(self, evidence, set_name, "no other retrained model to compare with")
        if not reference.observable:
            return nothing(self, evidence, set_name, UNOBSERVABLE)

        def statistic(s: str) -> Iterator[float | None]:
            for now, then in zip(evidence.answers(s), reference.answers(s), strict=True):
                lost, expected = loss(now), loss(then)
                yield None if lost is None or expected is None else lost - expected

        return membership(self, evidence, set_name, statistic)
