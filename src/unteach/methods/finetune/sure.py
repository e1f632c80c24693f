"""SURE: forgetting with the few neurons that matter to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.plan import Plan, schedule
from unteach.edit.rows import Desk
from unteach.edit.trainable import trainable
from unteach.lm.anatomy import stored_in_out
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune
from unteach.registry import method
from unteach.schema import InputError, Need, Request


@method("sure", tested_by="test_sure_leaves_all_but_its_neurons_as_they_were")
@dataclass(frozen=True)
class SURE:
    """Fine-tuning on a forget objective and a retain term, of the neurons with the largest forget gradient alone.

    A neuron is a row of a weight matrix (the weights into one output); its score is the norm of the gradient of the
    objective there, over all forget rows, before training. The `share` with the largest scores moves, the rest stays
    bit for bit. Zhang et al. 2025, arXiv:2410.16454, who use it so that rounding the weights does not undo the
    forgetting. Needs forget and retain rows. Trains whole weights, without weight decay, which would move every
    neuron.

    Example: ``SURE(objective="npo", share=0.01)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    objective: str = "npo"
    retain_term: Literal["nll", "kl"] = "nll"
    options: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.01
    plan: Plan = field(default_factory=Plan)
    makes_adapter: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError("option 'share' of sure is a share of all neurons; choose it above 0 and at most 1")

    def __call__(self, lm: LM, request: Request) -> Edit:
        tune = "full" if self.plan.lora else self.plan.tune
        plan = replace(self.plan, tune=tune, weight_decay=0.0)
        method = Finetune(self.objective, self.options, self.retain_term, plan=plan)
        task = method.task(request)
        return method.train(lm, replace(task, keep=self._neurons(lm, request, plan)), made_by=f"sure({self.share:g})")

    def _neurons(self, lm: LM, request: Request, plan: Plan) -> dict[str, Tensor]:
        """For each tensor in training a mask that broadcasts to it, true at the neurons that may move."""
        task = Finetune(self.objective, self.options, "none", plan=plan).task(request)
        with lm.lock, trainable(lm, plan) as parts:
            desk = Desk(lm, task)
            for step in schedule(*desk.lengths, replace(plan, epochs=1)):
                torch.autograd.backward(task.loss(*desk.views(step, parts.before, parts.first)))
            sides = {n: 0 if _by_column(lm, n) else 1 for n, p in parts.parameters.items() if p.ndim == 2}
            scores = {n: _norms(parts.parameters[n].grad, side) for n, side in sides.items()}
            every = torch.cat([s.flatten() for s in scores.values()])
            least = every.topk(max(1, int(self.share * len(every)))).values[-1]
            masks = {n: (s >= least) & (s > 0) for n, s in scores.items()}
            return {n: masks.get(n, torch.zeros_like(p, dtype=torch.bool)) for n, p in parts.parameters.items()}


def _by_column(lm: LM, name: str) -> bool:
    return stored_in_out(lm.model.get_submodule(name.rpartition(".")[0]))


def _norms(gradient: Tensor | None, side: int) -> Tensor:
    assert gradient is not None, "every matrix below the loss has a gradient"
    found: Tensor = gradient.norm(dim=side, keepdim=True)
    return found
