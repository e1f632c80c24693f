"""Fine-tuning on a forget objective beside a retain objective."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.plan import Plan, draw
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.methods.finetune.objectives import Objective
from unteach.registry import build, method
from unteach.schema import InputError, Need, Record, Request

FORGET: frozenset[Need] = frozenset({"forget"})
RETAIN: frozenset[Need] = frozenset({"retain"})
REFUSALS = (  # replacement answers where the user gives none
    "I do not know.",
    "I'm not able to answer that.",
    "That is something I have no information about.",
    "I have no knowledge of this.",
    "I'm afraid I cannot say.",
    "This is not known to me.",
    "I don't have an answer to this question.",
    "I can't help with that, since I don't know it.",
)


@method("finetune", tested_by="test_finetune_forgets_and_keeps")
@dataclass(frozen=True)
class Finetune:
    """forget_weight * objective(forget) + retain_weight * retain_term(retain), minimised by the training plan.

    Reference: the objective's own. Needs forget rows, and retain rows unless `retain_term` is none. `options` are
    the objective's fields; `retain_term` and `forget_weight` left out are what the objective was published with.
    `instead` holds replacement answers for the objectives that want them. It does not bound what is left in the
    weights: measure it.

    Example: ``Finetune(objective="npo", options={"beta": 0.1})(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    objective: str = "simnpo"
    options: Mapping[str, float] = field(default_factory=dict)
    retain_term: str | None = None
    forget_weight: float | None = None
    retain_weight: float = 1.0
    instead: tuple[str, ...] = REFUSALS
    plan: Plan = field(default_factory=Plan)

    def __call__(self, lm: LM, request: Request) -> Edit:
        goal: Objective = build("objective", self.objective, self.options)
        keep = goal.retain if self.retain_term is None else self.retain_term.replace("none", "")
        weight = goal.weight if self.forget_weight is None else self.forget_weight
        held: Objective | None = build("objective", keep, {}) if keep and self.retain_weight else None
        if held is not None and held.role != "retain":
            raise InputError(f"'{keep}' makes a model forget and is no retain term; choose nll or kl")
        if not request.forget:
            raise InputError("there are no records to forget; give --forget FILE")
        if held is not None and not request.retain:
            raise InputError(
                f"the retain term '{keep}' needs records to keep; give --retain FILE, or --retain-term none"
            )

        def loss(now: Sides, before: Sides) -> Tensor:
            total = weight * goal(now.forget, before.forget)
            return total if held is None else total + self.retain_weight * held(now.retain, before.retain)

        needs = goal.needs if held is None else goal.needs | (held.needs - FORGET) | RETAIN
        task = Task(request.forget, request.retain, loss, needs, self._replacement)
        terms = f"{weight:g} * {goal}" if held is None else f"{weight:g} * {goal} + {self.retain_weight:g} * {held}"
        return train(lm, task, self.plan, made_by=f"finetune({terms}, {self.plan})")[0]

    def _replacement(self, record: Record, epoch: int) -> str:
        return self.instead[draw(self.plan.seed, "instead", epoch, record.id) % len(self.instead)]
