"""Forgetting that a little relearning is to leave in place: every step looks at the model that an attacker would have."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from typing import ClassVar, Literal

import torch
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.plan import Plan, draw
from unteach.edit.rows import DONE, Sides, Task
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.methods.finetune.finetune import Finetune
from unteach.registry import build, find, method
from unteach.schema import InputError, Need, Record, Request


@method("tamperresistance", tested_by="test_less_comes_back_than_after_the_same_forgetting_without_the_inner_loop")
@dataclass(frozen=True)
class TamperResistance:
    """Forget also where an attacker would have brought the model: relearning is practised inside every step.

        L = forget_weight * objective(W) + retain_term(W) + tampered_weight * objective(attack(W))

    attack(W) are the weights after `inner` steps of AdamW at the rate `inner_lr` from W, which raise the probability of
    the forget rows, each step on a batch of them; the batches are drawn anew for each attack. The gradient at attack(W)
    is added as if it were one at W (first order). Tamirisa et al. 2024, arXiv:2408.00761 (TAR). Chosen here: an attack of
    one kind and one rate, where they draw from several; the objective itself at the attacked weights, for which they take
    the entropy of the outputs (`randomlabels` comes near it), and after the last inner step alone; the forget term at W
    beside it; one retain term and none for the hidden states; 16 inner steps, a quarter of theirs, since an attack is
    made at every batch and `inner` + 2 times as long as plain training is what a step takes. With `inner` 0 it is plain
    training.

    Needs forget and retain rows. Trains whole weights, since an attacker does; a plan for an adapter trains all of them.
    Memory holds four more copies of what is trained. It holds against attacks like the one that was practised: a larger
    rate, more steps or other rows may bring all of it back, so relearn and look. A model that withstands has also had a
    stronger push to forget: beside it belongs a plain training with a larger `forget_weight`.

    Example: ``TamperResistance(objective="randomlabels", inner=16)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    makes_adapter: ClassVar[bool] = False
    objective: str = "randomlabels"
    retain_term: Literal["nll", "kl"] = "nll"
    options: Mapping[str, float] = field(default_factory=dict)
    forget_weight: float | None = None
    inner: int = 16
    inner_lr: float = 2e-5
    tampered_weight: float = 4.0
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        if self.inner < 0 or not self.inner_lr > 0:
            raise InputError("options 'inner' and 'inner_lr' of tamperresistance are steps and their rate; raise them")
        if {"instead", "mismatched"} & find("objective", self.objective).needs:
            raise InputError(f"'{self.objective}' learns other answers, which no attack undoes; choose 'randomlabels'")

    def __call__(self, lm: LM, request: Request) -> Edit:
        plan = replace(self.plan, tune="full" if self.plan.lora else self.plan.tune)
        method = Finetune(self.objective, self.options, self.retain_term, self.forget_weight, plan=plan)
        task = method.task(request)
        if self.inner:
            task = replace(task, loss=self._withstanding(lm, task))
        made_by = f"tamperresistance({self.inner} at {self.inner_lr:g}, {self.tampered_weight:g})"
        return method.train(lm, task, made_by)

    def _withstanding(self, lm: LM, task: Task) -> Callable[[Sides, Sides], Tensor]:
        """The loss of the task, and beside it the objective where an attack comes to."""
        goal, rows = build("objective", self.objective, self.options), {f"forget/{r.id}": r for r in task.forget}

        def loss(now: Sides, before: Sides) -> Tensor:
            weights = {name: p for name, p in lm.parameters().items() if p.requires_grad}
            place = task.state[DONE], *now.forget.records
            order = sorted(task.forget, key=lambda r: draw(self.plan.seed, "attack", *place, r.id))
            values = attacked(lm, weights, self._batches(order), self.inner_lr)
            same = [rows[key] for key in now.forget.records]
            there = goal(View(lm.run(lm.batch(same), values), slice(0, len(same))), before.forget)
            return task.loss(now, before) + self.tampered_weight * brought_back(there, weights, values)

        return loss

    def _batches(self, order: Sequence[Record]) -> Iterator[Sequence[Record]]:
        """Rows for each inner step, each row before any comes again."""
        endless, size = cycle(order), min(self.plan.batch_size, len(order))
        return (list(islice(endless, size)) for _ in range(self.inner))


def attacked(
    lm: LM, weights: Mapping[str, Tensor], batches: Iterable[Sequence[Record]], rate: float
) -> dict[str, Tensor]:
    """The weights after a step of AdamW on each batch, at one rate and without decay; those handed in stay."""
    values = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    optimiser = torch.optim.AdamW(values.values(), lr=rate, weight_decay=0.0, fused=True)
    for rows in batches:
        optimiser.zero_grad()
        torch.autograd.backward(-lm.run(lm.batch(rows), values).token_logps.mean())
        optimiser.step()
    return values


def brought_back(loss: Tensor, weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Tensor:
    """The loss at `values`, with its gradient there for a gradient at `weights`."""
    slopes = torch.autograd.grad(loss, [*values.values()], allow_unused=True, materialize_grads=True)
    steps = (((w - w.detach()) * s).sum() for w, s in zip(weights.values(), slopes, strict=True))
    return sum(steps, loss.detach())
