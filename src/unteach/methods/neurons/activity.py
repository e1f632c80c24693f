"""How active neurons are over the tokens of some rows: statistics that take any number of tokens in constant memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.plan import draw
from unteach.lm.batch import Batch, collate
from unteach.lm.model import LM
from unteach.measure.answers import in_order
from unteach.schema import Record

Importance = Literal["abs", "freq", "rms", "std"]


@dataclass(frozen=True, eq=False)
class Activity:
    """Of `count` tokens, neuron by neuron in float64: the means of |a|, of a > 0 and of a, and the sum of (a - mean)^2."""

    count: int
    size: Float[Tensor, " I"]
    positive: Float[Tensor, " I"]
    mean: Float[Tensor, " I"]
    spread: Float[Tensor, " I"]

    def __add__(self, other: "Activity") -> "Activity":
        """Of the tokens of both. Chan et al. 1979: nothing is lost where means are large beside deviations."""
        count = self.count + other.count
        share, apart = other.count / count, other.mean - self.mean

        def between(mine: Tensor, theirs: Tensor) -> Tensor:
            return mine + (theirs - mine) * share

        return Activity(
            count,
            between(self.size, other.size),
            between(self.positive, other.positive),
            self.mean + apart * share,
            self.spread + other.spread + apart.square() * self.count * share,
        )


def activity(states: Float[Tensor, "R I"]) -> Activity:
    """Of the neurons at some tokens."""
    a = states.double()
    mean = a.mean(0)
    return Activity(len(a), a.abs().mean(0), (a > 0).double().mean(0), mean, (a - mean).square().sum(0))


IMPORTANCES: Mapping[Importance, Callable[[Activity], Tensor]] = {
    "abs": lambda seen: seen.size,
    "freq": lambda seen: seen.positive,
    "rms": lambda seen: (seen.mean.square() + seen.spread / seen.count).sqrt(),
    "std": lambda seen: (seen.spread / seen.count).sqrt(),
}


@torch.no_grad()
def activities(lm: LM, records: Sequence[Record], paths: Sequence[str], most: int) -> dict[str, Activity]:
    """Of what goes into the maps at some paths, named in the order in which they run, at all tokens of some rows.

    Rows are taken, in an order that their ids give, until there are `most` tokens.
    """
    found: dict[str, Activity] = {}
    for batch in _batches(lm, records, most):
        for path, states in zip(paths, lm.inputs(batch, paths), strict=True):
            seen = activity(states)
            found[path] = found[path] + seen if path in found else seen
    return found


def _batches(lm: LM, records: Sequence[Record], most: int) -> Iterator[Batch]:
    rows, taken = [], 0
    for record in sorted(records, key=lambda r: draw("tokens", r.id)):
        if taken < most:
            rows.append(lm.encoder.row(record))
            taken += len(rows[-1].ids)
    for part in in_order(lm, rows):
        yield collate([rows[i] for i in part], [""] * len(part), pad=lm.pad, device=lm.device)
