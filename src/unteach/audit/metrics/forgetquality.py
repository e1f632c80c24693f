"""TOFU's forget quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.aggregate import Definition
from unteach.audit.evidence import Evidence
from unteach.audit.metrics.truthratio import log_ratios
from unteach.audit.openunlearning import retain_log_ratios
from unteach.audit.scoring import UNOBSERVABLE, Directions, direction, nothing
from unteach.audit.statistics import ks
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("forgetquality", tested_by="test_forgetquality_is_one_for_the_retrained_model_itself")
@dataclass(frozen=True)
class ForgetQuality:
    """How hard it is to tell the model from one retrained without the rows, by their truth ratios.

    The p-value of a two-sided two-sample Kolmogorov-Smirnov test between the truth ratios of the two models;
    0 to 1, above 0.05 no difference was seen. The note holds the statistic D and both sizes. The retrained
    model is one of the audit, or open-unlearning's log of one (`retain_logs`, a TOFU_EVAL.json).
    Maini et al. 2024, arXiv:2401.06121.

    It does not prove forgetting: p falls with the number of rows (D = 0.30 is significant at 40 rows, 0.095 at
    400), so values of forget sets of different size cannot be compared, and a collapsed model can pass.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "perturbed", "retrained"})
    directions: ClassVar[Directions] = {"forget": "up"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("modelutility", "perplexity", "truthratio")
    definition: Definition = "geometric"
    retain_logs: str = ""

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        then: Sequence[float | None]
        if self.retain_logs:
            then = retain_log_ratios(self.retain_logs)
        elif evidence.retrained is not None:
            then = log_ratios(evidence.retrained, set_name, self.definition)
        else:
            return nothing(self, evidence, set_name, "no retrained model to compare with")
        now = log_ratios(evidence, set_name, self.definition)
        own, others = ([r for r in ratios if r is not None] for ratios in (now, then))
        if not own or not others:
            why = "no wrong answer to compare with" if evidence.observable else UNOBSERVABLE
            return nothing(self, evidence, set_name, why)
        test = ks(own, others)
        note = (
            f"D = {test.d:.4f} between {test.n} and {test.m} rows, {self.definition} truth ratio; "
            "not comparable with p at another number of rows"
        )
        return Score("forgetquality", test.p, n=test.n, note=note, direction=direction(self, evidence, set_name))
