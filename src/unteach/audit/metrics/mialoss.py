"""Membership inference from the loss."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.membership import membership
from unteach.audit.scoring import Directions
from unteach.measure.answers import loss
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("mialoss", tested_by="test_mialoss_is_one_where_every_forgotten_row_is_likelier_than_every_unseen_one")
@dataclass(frozen=True)
class MIALoss:
    """How well an attacker tells the rows from unseen ones by how well the model predicts them.

    AUC = P(loss of a forget row < loss of a holdout row) + half the ties; 0 to 1, with 0.5 no better than a
    coin. The loss is the mean over answer tokens, end-of-text included. Yeom et al. 2018, arXiv:1709.01604.
    The interval is Newcombe's; the note holds the true-positive rate at 1 % false alarms. `per_record` holds
    the losses of both sets.

    The goal is the retrained model's value, and 0.5 only where both sets are drawn alike. Below it the rows
    are conspicuous by their absence. A destroyed model scores 0.5: read it with `perplexity` on the retain set.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "holdout"})
    directions: ClassVar[Directions] = {"forget": "target"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("perplexity", "probability", "modelutility")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        return membership(self, evidence, set_name, lambda s: map(loss, evidence.answers(s)))
