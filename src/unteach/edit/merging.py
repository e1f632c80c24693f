"""Rules that make one change of a model's weights out of several.

A delta holds by how much each weight changes, by name; a weight that it does not name stays. No rule looks at the order
in which deltas come: the result is the same bit for bit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.plan import draw
from unteach.schema import InputError

Delta = Mapping[str, Tensor]


class Rule(Protocol):
    """Several deltas to one."""

    def __call__(self, deltas: Sequence[Delta]) -> Delta: ...


@dataclass(frozen=True)
class Mean:
    """The mean of the deltas: the weights are the mean of the edited weights. Wortsman et al. 2022, arXiv:2203.05482."""

    def __call__(self, deltas: Sequence[Delta]) -> Delta:
        return {name: summed(stack) / len(deltas) for name, stack in _stacked(deltas)}


@dataclass(frozen=True)
class TrimElect:
    """TIES: trim each delta to its largest entries, elect a sign for each entry, take the mean of those that have it.

    The share `density` of a delta's entries is kept, over all its weights together (with those as large as the least
    of them). The sign is that of the sum; where the sum is 0 nothing changes. Yadav et al. 2023, arXiv:2306.01708.
    """

    density: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.density <= 1:
            raise InputError("option 'density' is the share of a change that is kept; choose it above 0 and at most 1")

    def __call__(self, deltas: Sequence[Delta]) -> Delta:
        kept = [trimmed(delta, self.density) for delta in deltas]
        return {name: elected(stack) for name, stack in _stacked(kept)}


@dataclass(frozen=True)
class DropRescale:
    """DARE: drop each entry of each delta with probability `drop`, divide the others by 1 - drop, take the mean.

    What it gives on average over seeds is the mean of the deltas. Yu et al. 2023, arXiv:2311.03099. Equal deltas lose
    the same entries, since nothing but the seed and what a delta holds decides which.
    """

    drop: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.drop < 1:
            raise InputError("option 'drop' is the share of a change that is dropped; choose it from 0 to below 1")

    def __call__(self, deltas: Sequence[Delta]) -> Delta:
        return Mean()([dropped(delta, self.drop, self.seed) for delta in deltas])


def summed(stack: Float[Tensor, "E *shape"]) -> Float[Tensor, "*shape"]:
    """The sum of E tensors, added up in the order of their values, so that their own order does not matter."""
    return stack.sort(0).values.sum(0)


def trimmed(delta: Delta, density: float) -> Delta:
    """The share of a delta's entries that are largest; the others are 0."""
    sizes = torch.cat([change.abs().flatten() for change in delta.values()])
    least = sizes.kthvalue(len(sizes) - max(1, round(density * len(sizes))) + 1).values
    return {name: change.where(change.abs() >= least, 0.0) for name, change in delta.items()}


def elected(stack: Float[Tensor, "E *shape"]) -> Float[Tensor, "*shape"]:
    """For each entry the mean of those of the E that have the sign of their sum."""
    agree = stack * summed(stack).sign() > 0
    return summed(stack.where(agree, 0.0)) / agree.sum(0).clamp(min=1)


def dropped(delta: Delta, drop: float, seed: int) -> Delta:
    """The delta with entries dropped at random and the others as much larger."""
    found = {}
    for name, change in delta.items():
        held = sha256(change.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data).hexdigest()
        generator = torch.Generator().manual_seed(draw(seed, "dare", name, held) % 2**63)
        kept = torch.rand(change.shape, generator=generator) >= drop
        found[name] = (change / (1 - drop)).where(kept.to(change.device), 0.0)
    return found


def _stacked(deltas: Sequence[Delta]) -> Iterator[tuple[str, Tensor]]:
    """For each weight its changes by all the deltas; 0 where one leaves it alone."""
    for name in sorted({name for delta in deltas for name in delta}):
        like = next(delta[name] for delta in deltas if name in delta)
        yield name, torch.stack([delta.get(name, torch.zeros_like(like)) for delta in deltas])
