"""Gradient difference."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune
from unteach.registry import method
from unteach.schema import Need, Request


@method("graddiff", tested_by="test_graddiff_without_ascent_is_fine_tuning")
@dataclass(frozen=True)
class GradDiff:
    """Ascent on the forget rows, descent on the retain rows: forget_weight * GA + retain_weight * retain term.

    Liu et al. 2022, arXiv:2203.12817; Maini et al. 2024, arXiv:2401.06121. Needs forget and retain rows. The
    ascent is still unbounded, and the retain term saves only what it samples.

    Example: ``GradDiff(retain_term="kl")(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    retain_term: Literal["nll", "kl"] = "nll"
    forget_weight: float = 1.0
    retain_weight: float = 1.0
    plan: Plan = field(default_factory=Plan)

    def __call__(self, lm: LM, request: Request) -> Edit:
        inner = Finetune(
            "ga",
            retain_term=self.retain_term,
            forget_weight=self.forget_weight,
            retain_weight=self.retain_weight,
            plan=self.plan,
        )
        return inner(lm, request)
