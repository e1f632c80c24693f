"""Shards into one: a mean in whole numbers, which does not depend on the order and from which a shard can be taken."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from unteach.schema import InputError

BITS = 40  # behind the point: 1e-12, far below what float32 tells apart
MOST = 2**62


def whole(tensor: Tensor) -> Tensor:
    """int64 multiples of 2^-40."""
    scaled = tensor.double() * 2.0**BITS
    if scaled.numel() and float(scaled.abs().max()) >= MOST / 1024:  # room for a thousand shards
        raise InputError("a weight of a shard is too large to be added exactly; lower --lr")
    return scaled.round_().to(torch.int64)


def total(parts: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The sum of every tensor over the shards, in whole numbers."""
    sums: dict[str, Tensor] = {}
    for part in parts:
        for name, tensor in part.items():
            sums[name] = sums[name] + whole(tensor) if name in sums else whole(tensor)
    return sums


def without(sums: Mapping[str, Tensor], part: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The sum without one shard: what adding up the others gives, to the last bit."""
    return {name: value - whole(part[name]) for name, value in sums.items()}


def mean(sums: Mapping[str, Tensor], count: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The mean over so many shards."""
    return {name: (value.double() / (count * 2.0**BITS)).to(dtype) for name, value in sums.items()}
