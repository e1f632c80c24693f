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
        """All but the token that was drawn are ruled out: in few bits, sums of logits and noise would have ties."""
        noise = -torch.empty(len(logits)).exponential_(generator=self.dice).log()
        chosen = (logits.float() / self.temperature + noise.to(logits.device)).argmax()
        return torch.full_like(logits, -torch.inf).index_fill(0, chosen, 0.0)
