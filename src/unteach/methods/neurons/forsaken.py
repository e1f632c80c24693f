"""Forsaken: a sparse change of the weights makes the forgotten rows look unseen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.patches import Patch
from unteach.edit.plan import Plan, schedule
from unteach.edit.progress import Progress
from unteach.edit.rows import Desk, Sides, Task
from unteach.edit.trainable import trainable
from unteach.lm.model import LM
from unteach.measure.answers import batched
from unteach.methods.neurons.weights import whole
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request

PLAN = Plan(tune="full", epochs=10, lr=1e-4, accumulate=1, warmup_epochs=0.0, decay="constant")
EPS = 1e-8  # of Adam


@method("forsaken", tested_by="test_forsaken_moves_no_weight_whose_gradient_is_below_the_penalty")
@dataclass(frozen=True)
class Forsaken:
    """A sparse mask, added to the weights, under which the model speaks of the forgotten rows as of rows it never saw.

        minimise over m  mean over answer tokens to forget of  KL(p_(W + m) || q)  +  penalty * sum |m|

    q is what the model says, in the mean over their answer tokens, of rows it never saw. Ma et al. 2022, "Learn to
    forget: machine unlearning via neuron masking", arXiv:2003.10933, for classifiers; after its description. There a
    generator network gives the steps of the mask; here they are Adam's, each followed by the proximal step of the penalty in
    Adam's own scale,

        m = sign(m) max(|m| - rate * penalty / (sqrt(v) + eps), 0),

    so a weight whose gradient stays below the penalty never moves, and a penalty above every gradient leaves the model as
    it was. Of the plan `tune` (all weights where left out), `epochs`, `batch_size`, `seed` and the rates are used.

    Needs forget rows, and holdout rows for q. It looks at nothing that should stay; only sparsity protects that. q knows no
    context, so where the mask goes far, answers lose their form and not their content alone.

    Example: ``Forsaken(penalty=0.02)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "holdout"})
    makes_adapter: ClassVar[bool] = False
    penalty: float = 0.01
    plan: Plan = field(default_factory=lambda: PLAN)

    def __post_init__(self) -> None:
        if self.penalty < 0:
            raise InputError("option 'penalty' of forsaken weighs the size of the mask, and is not below 0")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "forsaken", "forget", "holdout")
        rows = request.forget
        plan = whole(self.plan)
        with lm.lock:
            target = unseen(lm, request.holdout)

            def loss(now: Sides, _before: Sides) -> Tensor:
                return divergence(now.forget.logits, target)

            patches = self._learnt(lm, Task(rows, (), loss, needs=frozenset({"forget"})), plan)
        return Edit(base=lm.digest(), weights=patches, made_by=f"forsaken(penalty={self.penalty:g}, {plan})")

    def _learnt(self, lm: LM, task: Task, plan: Plan) -> dict[str, tuple[Patch, ...]]:
        desk, start = Desk(lm, task), {name: p.detach() for name, p in lm.parameters().items()}
        steps, per_epoch = schedule(*desk.lengths, plan), ceil(len(task.forget) / plan.batch_size)
        with trainable(lm, plan) as parts, Progress("training", len(steps)) as progress:
            adam = torch.optim.Adam(parts.parameters.values(), eps=EPS)
            for done, step in enumerate(steps):
                rate = adam.param_groups[0]["lr"] = plan.rate(done, len(steps), per_epoch)
                adam.zero_grad()
                loss = task.loss(*desk.views(step, parts.before, parts.first))
                if not torch.isfinite(loss.detach()):
                    raise InputError(f"the loss became infinite at step {done}; lower --lr")
                torch.autograd.backward(loss)
                adam.step()
                for name, parameter in parts.parameters.items():
                    if parameter in adam.state:
                        _shrink(parameter, start[name], adam, rate * self.penalty)
                progress.at(done + 1, loss.item())
            return parts.patches()


@torch.no_grad()
def unseen(lm: LM, records: Sequence[Record]) -> Float[Tensor, " V"]:
    """The log of what a model says next, in the mean over the answer tokens of some rows."""
    sums, count = torch.zeros((), dtype=torch.float64, device=lm.device), 0
    for _, batch in batched(lm, records):
        logits = lm.logits(batch)
        sums, count = sums + logits.double().softmax(-1).sum(0), count + len(logits)
    return (sums / count).log()


def divergence(logits: Float[Tensor, "N V"], target: Float[Tensor, " V"]) -> Float[Tensor, ""]:
    """KL(p || q) in the mean over N places, from the logits of p and the log-probabilities of q."""
    logps = logits.log_softmax(-1)
    return (logps.exp() * (logps - target.to(logps.dtype))).sum(-1).mean()


@torch.no_grad()
def _shrink(weight: nn.Parameter, start: Tensor, adam: torch.optim.Adam, amount: float) -> None:
    """Soft thresholding of the mask, each number of it as far as Adam's own step for it is long."""
    state, (_, beta) = adam.state[weight], adam.param_groups[0]["betas"]
    scale = (state["exp_avg_sq"] / (1 - beta ** state["step"].item())).sqrt() + EPS
    mask = weight - start
    weight.copy_(torch.where(mask.abs() > amount / scale, weight - mask.sign() * amount / scale, start))
