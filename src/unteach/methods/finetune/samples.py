"""Answers drawn from a model, what they are worth, and their division into quantiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from unteach.edit.plan import draw
from unteach.lm.drawing import Drawing
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
            lm.guards[:] = [Drawing(temperature, iter([draw(seed, "sample", r.id, number) for r in records]))]
            for said, answer in zip(found, lm.generate(list(records), length), strict=True):
                said.append(answer.strip())
    finally:
        lm.guards[:] = worn
    return found
