"""Answers that are drawn, token by token, where a model else writes the likeliest."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.lm.guard import Guard, Streaming


@dataclass(frozen=True)
class Drawing(Guard):
    """A guard that draws each token; conversations take their seeds in the order in which they are opened."""

    weighs: ClassVar[bool] = True
    temperature: float
    seeds: Iterator[int]
    observable: bool = True

    def session(self) -> "Draws":
        return Draws(self.temperature, torch.Generator().manual_seed(next(self.seeds)))


@dataclass
class Draws(Streaming):
    """One conversation whose tokens are drawn."""

    temperature: float
    dice: torch.Generator = field(repr=False)

    def logits(self, ids: Int[Tensor, " T"], logits: Float[Tensor, " V"]) -> Float[Tensor, " V"]:  # noqa: ARG002
        return drawn(logits.float() / self.temperature, self.dice).to(logits)


def drawn(logits: Float[Tensor, " V"], dice: torch.Generator) -> Float[Tensor, " V"]:
    """All but the token that was drawn are ruled out: in few bits, sums of logits and noise would have ties."""
    noise = -torch.empty(len(logits)).exponential_(generator=dice).log()
    chosen = (logits + noise.to(logits.device)).argmax()
    return torch.full_like(logits, -torch.inf).index_fill(0, chosen, 0.0)


def likely(logits: Float[Tensor, " V"], top_k: int = 0, top_p: float = 1.0) -> Float[Tensor, " V"]:
    """The logits with nothing left but the `top_k` likeliest, and of those the fewest that hold `top_p`; 0 and 1 are all.

    Of equals the token of the lower number counts as the likelier.
    """
    if not top_k and top_p >= 1:
        return logits
    order = logits.argsort(descending=True, stable=True)[: top_k or None]
    shares = logits[order].softmax(0)
    kept = order[shares.cumsum(0) - shares < top_p] if top_p < 1 else order
    return torch.full_like(logits, -torch.inf).index_copy(0, kept, logits[kept])
