"""Fine-tuning on a forget objective beside a retain objective."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.plan import Plan, alternating, draw, schedule
from unteach.edit.rows import DONE, Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.methods.finetune.objectives import Objective
from unteach.registry import build, entries, find, method, name_of
from unteach.schema import InputError, Need, Record, Request

FORGET: frozenset[Need] = frozenset({"forget"})
RETAIN: frozenset[Need] = frozenset({"retain"})
MISMATCHED = 5  # other answers to a question, as Yao et al. 2023 draw them
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
    the objective's fields; `retain_term`, `forget_weight` and `tune` left out are what the objective was published
    with.
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
        return self.train(lm, self.task(request))

    def train(self, lm: LM, task: Task, made_by: str = "finetune") -> Edit:
        """Train on a task of this method's, by its plan."""
        goal, held = self._terms()
        plan = replace(self.plan, tune=self.plan.tune or (goal.tune(lm.layers) if hasattr(goal, "tune") else "lora"))
        terms = f"{self._weight(goal):g} * {goal}" + (f" + {self.retain_weight:g} * {held}" if held else "")
        order = alternating if getattr(goal, "turns", False) and held is not None else schedule
        return train(lm, task, plan, made_by=f"{made_by}({terms}, {plan})", order=order)[0]

    def task(self, request: Request) -> Task:
        """The rows and the loss; what is missing is refused."""
        goal, held = self._terms()
        if not request.forget:
            raise InputError("there are no records to forget; give --forget FILE")
        if held is not None and not request.retain:
            raise InputError(
                f"the retain term '{name_of(held)}' needs records to keep; give --retain FILE, or --retain-term none"
            )
        if "mismatched" in goal.needs and not request.retain:
            raise InputError(f"'{name_of(goal)}' takes its other answers from records to keep; give --retain FILE")
        weight, state = self._weight(goal), {"retain_weight": self.retain_weight, DONE: 0.0}

        def loss(now: Sides, before: Sides) -> Tensor:
            terms = []
            going, staying = goal.factors(state[DONE]) if hasattr(goal, "factors") else (1.0, 1.0)
            if len(now.forget.lengths) or len(now.forget.instead.lengths):
                terms.append(going * weight * goal(now.forget, before.forget))
            if held is not None and len(now.retain.lengths):
                kept = held(now.retain, before.retain)
                terms.append(staying * state["retain_weight"] * kept)
                if hasattr(goal, "dual"):
                    state["retain_weight"] = goal.dual(state["retain_weight"], kept.item())
            return torch.stack(terms).sum()

        needs = goal.needs if held is None else goal.needs | (held.needs - FORGET) | RETAIN
        replacement = partial(self._mismatched, request.retain) if "mismatched" in goal.needs else self._refusal
        return Task(request.forget, request.retain, loss, needs, replacement, state=state)

    def _weight(self, goal: Any) -> float:
        return float(goal.weight if self.forget_weight is None else self.forget_weight)

    @property
    def makes_adapter(self) -> bool:
        """Whether what is trained is an adapter."""
        goal = self._terms()[0]
        one = goal.tune(1) if hasattr(goal, "tune") else None  # what kind of thing it is, of however many layers
        return replace(self.plan, tune=self.plan.tune or one).lora

    def _terms(self) -> tuple[Any, Objective | None]:
        """The forget objective and its retain term, which takes the options that both have."""
        goal = build("objective", self.objective, self.options)
        keep = goal.retain if self.retain_term is None else self.retain_term.replace("none", "")
        if not keep or not self.retain_weight:
            return goal, None
        cls = find("objective", keep)
        shared = {f.name for f in fields(cls)} & {f.name for f in fields(goal)}
        held: Objective = build("objective", keep, {name: getattr(goal, name) for name in shared})
        if held.role != "retain":
            known = ", ".join(e.name for e in entries("objective") if find("objective", e.name).role == "retain")
            raise InputError(f"'{keep}' makes a model forget and is no retain term; choose one of {known}")
        return goal, held

    def _refusal(self, record: Record, epoch: int) -> tuple[str, ...]:
        return (self.instead[draw(self.plan.seed, "instead", epoch, record.id) % len(self.instead)],)

    def _mismatched(self, others: Sequence[Record], record: Record, epoch: int) -> tuple[str, ...]:
        """Answers of other rows, the same for every question of an epoch, never the row's own."""
        answers = sorted({r.answer for r in others}, key=lambda a: draw(self.plan.seed, "mismatched", epoch, a))
        found = [a for a in answers[: MISMATCHED + 1] if a != record.answer][:MISMATCHED]
        if not found:
            raise InputError("the records to keep hold no answer but a forgotten one; give others with --retain")
        return tuple(found)
