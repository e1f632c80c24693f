"""Answers drawn from a model, what they are worth, and their division into quantiles."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.edit.plan import draw
from unteach.lm.model import LM
from unteach.schema import Record

Reward = Callable[[Record, str], float]  # what an answer to a record is worth; more is better


@dataclass(frozen=True)
class Sample:
    """An answer to a record, and its reward; `number` tells it from the record's other ones."""

    record: Record
    number: int
    answer: str = field(repr=False)
    reward: float


def unlike(record: Record, answer: str) -> float:
    """Minus the share of the words of a record's own answer that another answer holds."""
    own, said = _words(record.answer), set(_words(answer))
    return -sum(word in said for word in own) / max(1, len(own))


def _words(text: str) -> list[str]:
    return [word.strip(".,;:!?\"'()").casefold() for word in text.split()]


def quantiles(rewards: Sequence[float], count: int) -> list[int]:
    """The quantile of each reward, 0 the best; all are of one size, and what is left over goes to the worst."""
    size = max(1, len(rewards) // count)
    order = sorted(range(len(rewards)), key=lambda i: (-rewards[i], draw("quantiles", i)))  # equals lie anywhere
    ranks = {i: rank for rank, i in enumerate(order)}
    return [min(ranks[i] // size, count - 1) for i in range(len(rewards))]


def drawn(lm: LM, records: Sequence[Record], count: int, length: int, temperature: float, seed: int) -> list[list[str]]:
    """So many answers to each record, of at most `length` tokens; no guard of the model is asked."""
    worn = list(lm.guards)
    found: list[list[str]] = [[] for _ in records]
    try:
        for number in range(count):
            lm.guards[:] = [_Dice(temperature, iter([draw(seed, "sample", r.id, number) for r in records]))]
            for said, answer in zip(found, lm.generate(list(records), length), strict=True):
                said.append(answer.strip())
    finally:
        lm.guards[:] = worn
    return found


@dataclass(frozen=True)
class _Dice:
    """A guard that draws each token; conversations take their seeds in the order in which they are opened."""

    temperature: float
    seeds: Iterator[int]
    observable: bool = True

    def session(self) -> "_Throws":
        return _Throws(self.temperature, torch.Generator().manual_seed(next(self.seeds) % 2**63))


@dataclass
class _Throws:
    temperature: float
    dice: torch.Generator

    def prompt(self, text: str) -> str:
        return text

    def logits(self, _ids: Int[Tensor, " T"], logits: Float[Tensor, " V"]) -> Float[Tensor, " V"]:
        """Logits whose greatest is a draw from the softmax at the temperature: Gumbel noise is added."""
        uniform = torch.rand(logits.shape, generator=self.dice, dtype=torch.float64).clamp_min(1e-300)
        return logits.double() / self.temperature - uniform.log().neg().log().to(logits.device)

    def reply(self, text: str) -> str:
        return text
