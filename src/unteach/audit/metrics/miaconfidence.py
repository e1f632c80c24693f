"""Membership inference from how sure a model is of its own answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.membership import membership
from unteach.audit.scoring import Directions
from unteach.measure.answers import loss
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("miaconfidence", tested_by="test_miaconfidence_finds_rows_that_were_taught_something_else")
@dataclass(frozen=True)
class MIAConfidence:
    """How well an attacker who knows no answer tells the rows from unseen ones: by how sure the model is of its own.

    AUC = P(loss of the own answer to a forget row < loss of that to a holdout row) + half the ties; 0 to 1, with 0.5
    no better than a coin. The own answer is the greedy one, and its loss the mean over its tokens. Salem et al. 2019,
    arXiv:1806.01246, their third adversary, who needs neither the right answers nor other models. The interval is
    Newcombe's; the note holds the true-positive rate at 1 % false alarms. `per_record` holds the losses of both sets.

    The goal is the retrained model's value. Far above it, the model is surer about these rows than a model that never
    saw them: either it still knows them, or something else was taught in their place, which scores that look for the
    right answer cannot see. A destroyed model scores 0.5: read it with `perplexity` on the retain set.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "holdout", "generation"})
    directions: ClassVar[Directions] = {"forget": "target"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("mialoss", "perplexity", "modelutility")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        def losses(name: str) -> Iterator[float | None]:
            return (None if answer is None else loss(answer) for answer in evidence.own(name))

        return membership(self, evidence, set_name, losses)
