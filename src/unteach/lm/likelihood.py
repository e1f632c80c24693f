"""The log-probability of each answer token, and its gradient, without more copies of all logits than one."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from unteach.lm.anatomy import head
from unteach.lm.lean import here
from unteach.lm.trace import watched

AT_ONCE = 256  # tokens: their logits over a small vocabulary stay near a processor


def log_probabilities(model: Any, states: Float[Tensor, "N D"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """log p(target) from the states that predict it, in float32 or better."""
    last = model.get_output_embeddings()
    plain = type(last) is nn.Linear and last.bias is None and here(last) and not watched(last)
    capped = getattr(model.config, "final_logit_softcapping", None)
    if plain and not capped and states.dtype == last.weight.dtype == torch.float32:
        found: Tensor = _OfStates.apply(states, last.weight, targets)  # type: ignore[no-untyped-call]
        return found
    return of_logits(head(model, states), targets)


def of_logits(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """log p(target) of each token."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    found: Tensor = _OfLogits.apply(wide, targets)  # type: ignore[no-untyped-call]
    return found


class _OfLogits(torch.autograd.Function):
    """log p(target) of each token; its gradient is onehot - p, written in one pass over the vocabulary."""

    @staticmethod
    def forward(ctx: Any, logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        logps = logits.log_softmax(-1)
        ctx.save_for_backward(logps, targets)
        return logps.gather(1, targets[:, None])[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, " N"]) -> tuple[Float[Tensor, "N V"], None]:
        logps, targets = ctx.saved_tensors
        found = logps.exp().mul_(-grad[:, None])
        return found.scatter_add_(1, targets[:, None], grad[:, None]), None


class _OfStates(torch.autograd.Function):
    """The same from the states before a linear head, some tokens after others.

    p - onehot is taken before it meets the head or the states: their products taken apart lose it where p is near 1.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Float[Tensor, "N D"], weight: Float[Tensor, "V D"], targets: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        logps, misses = [], []
        for part, wanted in zip(torch.split(states, AT_ONCE), torch.split(targets[:, None], AT_ONCE), strict=True):
            logits = part @ weight.T
            p = logits.softmax(-1)
            above = logits.gather(1, wanted)[:, 0] - logits.amax(-1)
            logps.append(above + p.amax(-1).log())  # of the likeliest token, whose p is never too small for a number
            misses.append(p.scatter_add_(1, wanted, p.new_full(wanted.shape, -1.0)))
        ctx.save_for_backward(states, weight, *misses)
        return torch.cat(logps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, " N"]) -> tuple[Tensor | None, Tensor | None, None]:
        states, weight, *misses = ctx.saved_tensors
        scale = -grad[:, None]
        back = torch.cat([miss @ weight for miss in misses]).mul_(scale) if ctx.needs_input_grad[0] else None
        change = None
        if ctx.needs_input_grad[1]:
            change = torch.zeros_like(weight)
            for miss, part in zip(misses, torch.split(states * scale, AT_ONCE), strict=True):
                change.addmm_(miss.T, part)
        return back, change, None
