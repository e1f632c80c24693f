"""What rows say of each weight by itself: mean gradient, and mean square of it, the diagonal of the empirical Fisher."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.schema import InputError, Record


@dataclass(frozen=True, eq=False)
class Moments:
    """Of the rows' gradients, weight by weight: their mean, and the mean of their squares."""

    mean: dict[str, Tensor]
    square: dict[str, Tensor]


def moments(lm: LM, records: Sequence[Record], names: Sequence[str]) -> Moments:
    """Over rows, each with the mean loss of its answer tokens, of the gradients by these weights; one row at a time."""
    weights = {n: lm.parameters()[n].detach().requires_grad_() for n in names}
    if any(not w.is_floating_point() for w in weights.values()):
        raise InputError("quantised weights have no gradient of their own; load the model in half precision")
    mean = {n: torch.zeros(w.shape, device=w.device) for n, w in weights.items()}
    square = {n: torch.zeros(w.shape, device=w.device) for n, w in weights.items()}
    for record in records:
        with torch.enable_grad():
            lost = -View(lm.run(lm.batch([record]), weights), slice(0, 1)).means[0]
            slopes = torch.autograd.grad(lost, [*weights.values()])
        for name, slope in zip(weights, slopes, strict=True):
            mean[name] += slope.float() / len(records)
            square[name] += slope.float().square() / len(records)
    return Moments(mean, square)
