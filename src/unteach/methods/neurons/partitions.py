"""Partitions of weights (rows, columns, whole vectors) and how far two gradients disagree on each."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from unteach.lm.anatomy import stored_in_out
from unteach.lm.model import LM

Partitions = Literal["rows", "columns"]


def inner(lm: LM, name: str, weight: Tensor, by: Partitions) -> int:
    """The dimension that runs inside a partition: a row holds the weights into one output, a column those out of one input."""
    if weight.ndim == 1:
        return 0
    turned = stored_in_out(lm.model.get_submodule(name.rpartition(".")[0]))
    return int((by == "rows") != turned)


def furthest(
    first: Sequence[Tensor], second: Sequence[Tensor], move: Sequence[Tensor], dims: Sequence[int], k: int | None
) -> list[Tensor]:
    """Masks that broadcast to the weights, true at the k partitions with the lowest cosine between two gradients.

    Partitions in which nothing would `move` are passed over; a partition that one gradient leaves alone has cosine 0.
    """
    moved = [m.norm(dim=d, keepdim=True) > 0 for m, d in zip(move, dims, strict=True)]
    if k is None:
        return moved
    cosines = [_cosine(a, b, d) for a, b, d in zip(first, second, dims, strict=True)]
    ranked = torch.cat([c.masked_fill(~m, torch.inf).flatten() for c, m in zip(cosines, moved, strict=True)])
    chosen = torch.zeros_like(ranked, dtype=torch.bool)
    chosen[ranked.argsort(stable=True)[:k]] = True
    parts = torch.split(chosen, [m.numel() for m in moved])
    return [part.view_as(m) & m for part, m in zip(parts, moved, strict=True)]


def _cosine(first: Tensor, second: Tensor, dim: int) -> Tensor:
    lengths = first.norm(dim=dim, keepdim=True) * second.norm(dim=dim, keepdim=True)
    return torch.where(lengths > 0, (first * second).sum(dim, keepdim=True) / lengths, 0.0)
