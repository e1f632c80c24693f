"""The truth ratio."""

from dataclasses import dataclass, replace
from math import exp
from typing import ClassVar

from unteach.audit.aggregate import Definition, indistinct, log_truth_ratio, truthful
from unteach.audit.evidence import Evidence
from unteach.audit.scoring import KNOWLEDGE, Directions, mean_score
from unteach.measure.answers import loss
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("truthratio", tested_by="test_truthratio_is_one_where_true_and_false_answers_are_equally_likely")
@dataclass(frozen=True)
class TruthRatio:
    """Whether the model still tells the right answer from wrong ones of the same form.

    R = mean probability of the wrong answers / probability of the restated right answer (of the answer itself
    where it is not restated), each per token with the end-of-text token; `definition` says which mean.
    On forget and holdout sets the score is the mean of min(R, 1/R), 1 where true and false cannot be told
    apart; on what should stay it is the mean of max(0, 1 - R). Both 0 to 1. `per_record` holds R itself.
    Maini et al. 2024, arXiv:2401.06121, whose text has the arithmetic mean of the wrong answers' probabilities
    and whose published figures follow the geometric one.

    It does not show damage: uniform logits score a perfect 1 on the forget set. Read it on the retain set too.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"perturbed"})
    directions: ClassVar[Directions] = KNOWLEDGE
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("modelutility", "perplexity", "forgetquality")
    definition: Definition = "geometric"

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        ratios = log_ratios(evidence, set_name, self.definition)
        term = truthful if evidence.roles[set_name] in ("retain", "general") else indistinct
        values = [None if r is None else term(r) for r in ratios]
        note = f"{self.definition} mean of the wrong answers"
        score = mean_score(self, evidence, set_name, values, why_none="no wrong answer to compare with", note=note)
        labelled = zip(evidence.labels(set_name), ratios, strict=True)
        return replace(score, per_record={label: exp(r) for label, r in labelled if r is not None})


def log_ratios(evidence: Evidence, set_name: str, definition: Definition) -> list[float | None]:
    """ln R of each row; None where a row has no wrong answer or an answer no token."""
    found: list[float | None] = []
    for right, wrong in zip(evidence.restated(set_name), evidence.perturbed(set_name), strict=True):
        correct, others = loss(right), [lost for a in wrong if (lost := loss(a)) is not None]
        found.append(None if correct is None else log_truth_ratio(correct, others, definition))
    return found
