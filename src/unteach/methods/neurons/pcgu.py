"""PCGU: the weights on which two continuations disagree most take a step against one of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar, Literal

import torch
from torch import Tensor

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan, schedule
from unteach.edit.progress import Progress
from unteach.edit.trainable import trainable
from unteach.lm.model import LM
from unteach.methods.neurons.pairs import logits, pair
from unteach.methods.neurons.partitions import Partitions, furthest, inner
from unteach.methods.neurons.weights import whole
from unteach.registry import method
from unteach.schema import InputError, Need, Request

PLAN = Plan(tune="full", epochs=5, lr=1e-5, accumulate=1, warmup_epochs=0.0, decay="constant")


@method("pcgu", tested_by="test_pcgu_moves_the_partitions_that_disagree_most_and_no_others")
@dataclass(frozen=True)
class PCGU:
    """Of two continuations one loses probability, through the few partitions of the weights that tell them apart.

        g1, g2 = gradients of the sums over a batch of  z(advantaged), z(disadvantaged)   (raw logits)
        W_i = W_i - rate * g1_i   for the `k` partitions i with the lowest  cos(g1_i, g2_i)

    Partitions are the `rows` of every matrix (the weights into one output) or its `columns` (those out of one input); a
    vector is one partition. They are chosen anew for every batch, and those that would not move are passed over; the
    others stay bit for bit. `k` none moves all. `step` "raise" raises the disadvantaged logit instead, and "level"
    lowers the larger of the two and raises the other. Yu et al. 2023, "Unlearning bias in language models by partitioning
    gradients", for masked models, where two words stand in one place.

    Here the model is causal: a pair is a row's answer (advantaged) against the first of its `perturbed`, both cut after
    the first token in which they differ, and z is the logit of that last token behind what they share. Words behind the
    difference count for nothing. CrowS-Pairs is read so, and WinoBias where a row's label is 1; in its other rows the
    answer is the disadvantaged one. A row without `perturbed` is paired with what
    the model would say instead of its answer's first token. Of the plan `tune`, `epochs`, `batch_size`, `seed` and the
    rates are used, by plain gradient descent on whole weights.

    Needs forget rows. It looks at nothing else: a logit falls without bound, so more steps than a few damage the
    language, and the preference for other words of the kind may stay.

    Example: ``PCGU(k=1000)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    makes_adapter: ClassVar[bool] = False
    k: int | None = 10_000
    partitions: Partitions = "rows"
    step: Literal["lower", "raise", "level"] = "lower"
    plan: Plan = field(default_factory=lambda: PLAN)

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise InputError("option 'k' of pcgu counts partitions; choose at least 1, or none for all")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "pcgu", "forget")
        plan = whole(self.plan)
        pairs = {r.id: pair(lm, r) for r in request.forget}
        steps = schedule({i: len(p.row.ids) for i, p in pairs.items()}, {}, plan)
        per_epoch = ceil(len(pairs) / plan.batch_size)
        with lm.lock, trainable(lm, plan) as parts, Progress("training", len(steps)) as progress:
            weights = list(parts.parameters.values())
            dims = [inner(lm, name, w, self.partitions) for name, w in parts.parameters.items()]
            for done, step in enumerate(steps):
                first, second = self._pulls(*logits(lm, [pairs[i] for i in step.forget]), weights)
                move = self._move(first, second)
                chosen = furthest(first, second, move, dims, self.k)
                _descend(weights, move, chosen, plan.rate(done, len(steps), per_epoch))
                progress.at(done + 1)
            patches = parts.patches()
        about = f"k={self.k}, {self.partitions}, {self.step}, {plan}"
        return Edit(base=lm.digest(), weights=patches, made_by=f"pcgu({about})")

    def _pulls(
        self, own: Tensor, other: Tensor, weights: Sequence[Tensor]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The gradients of the two sums of logits."""
        if self.step == "level":
            own, other = torch.maximum(own, other), torch.minimum(own, other)
        if not torch.isfinite(own.detach()).all():
            raise InputError("the logits became infinite; lower --lr, or the epochs")
        first = torch.autograd.grad(own.sum(), weights, retain_graph=True, materialize_grads=True)
        return first, torch.autograd.grad(other.sum(), weights, materialize_grads=True)

    def _move(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Sequence[Tensor]:
        """What is taken from the weights, times the rate."""
        if self.step == "lower":
            return first
        return [(a if self.step == "level" else torch.zeros_like(a)) - b for a, b in zip(first, second, strict=True)]


@torch.no_grad()
def _descend(weights: Sequence[Tensor], move: Sequence[Tensor], chosen: Sequence[Tensor], rate: float) -> None:
    for weight, change, mask in zip(weights, move, chosen, strict=True):
        weight.copy_(torch.where(mask, weight - rate * change, weight))
