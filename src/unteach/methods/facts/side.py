"""The side memory of a linear map: how its change is trained, when a question meets it, and how several become one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, relu

from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.lm.trace import Site
from unteach.methods.facts.answering import ROWS_AT_ONCE, descending
from unteach.schema import InputError


@dataclass(frozen=True)
class Margin:
    """What asks of a side memory that questions can be told apart by how far it moves the map's output.

        max(0, out - alpha) + max(0, beta - in) + max(0, gamma - (in - out))

    `in` is the move of a fact's question and `out` that of another one, both in units of what the map itself puts out
    for the facts.
    """

    alpha: float = 0.1
    beta: float = 0.4
    gamma: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < self.beta:
            raise InputError("the margin of wise needs an alpha of at least 0, and below beta")

    def __call__(self, inside: Float[Tensor, " N"], outside: Float[Tensor, " M"]) -> Float[Tensor, ""]:
        every = torch.arange(max(len(inside), len(outside)), device=inside.device)
        met, spared = inside[every % len(inside)], outside[every % len(outside)]
        apart: Tensor = relu(spared - self.alpha) + relu(self.beta - met) + relu(self.gamma - (met - spared))
        return apart.mean()


@dataclass(frozen=True, eq=False)
class Asked:
    """What enters a map at the R tokens of N questions."""

    entered: Float[Tensor, "R I"]
    row: Int[Tensor, " R"]
    count: int

    def moved(self, delta: Float[Tensor, "I O"]) -> Float[Tensor, " N"]:
        """How far a change moves what the map puts out, averaged over the tokens of each question."""
        moves: Tensor = (self.entered @ delta).norm(dim=1)
        sums = moves.new_zeros(self.count).index_add(0, self.row, moves)
        counts: Tensor = torch.bincount(self.row, minlength=self.count)
        mean: Tensor = sums / counts
        return mean


@torch.no_grad()
def asked(lm: LM, rows: Sequence[Row], path: str) -> Asked:
    """What enters the map at a path while questions are read."""
    entered, numbers = [], []
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        batch = collate(some, [""] * len(some), pad=lm.pad, device=lm.device)
        row, at = batch.owned.nonzero(as_tuple=True)
        question = at < torch.tensor([r.start for r in some], device=lm.device)[row]
        entered.append(lm.inputs(batch, [path])[0][question])
        numbers.append(row[question] + first)
    return Asked(torch.cat(entered), torch.cat(numbers), len(rows))


def trained(
    lm: LM, rows: Sequence[Row], path: str, inside: Asked, outside: Asked, mask: Bool[Tensor, "I O"], margin: Margin,
    *, unit: float, steps: int, rate: float,
) -> Float[Tensor, "I O"]:  # fmt: skip
    """A change of the map's weight, where the mask allows one, by gradient descent on answers and margin."""
    delta = torch.zeros(mask.shape, device=lm.device, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=rate)

    def met(h: Tensor, site: Site) -> Tensor:
        assert site.entered is not None
        question = site.mask & (site.positions < site.prompt_end[:, None])
        return h + question[..., None] * (site.entered @ delta.to(h.dtype))

    for _ in range(steps):
        with lm.tap(path, met):
            _, slope = descending(lm, rows, delta)
        apart = margin(inside.moved(delta) / unit, outside.moved(delta) / unit)
        delta.grad = mask * (slope / len(rows) + torch.autograd.grad(apart, delta)[0])
        adam.step()
    return delta.detach()


def threshold(inside: Float[Tensor, " N"], outside: Float[Tensor, " M"]) -> Float[Tensor, ""]:
    """Half-way between the least move of a fact's question and the greatest one of the others below it."""
    least = inside.min()
    below = outside[outside < least]
    return (least + (below.max() if len(below) else 0 * least)) / 2


def ties(deltas: Float[Tensor, "K I O"]) -> Float[Tensor, "I O"]:
    """One change of several: each weight takes the sign of their sum, and the mean of those that have it.

    The merging of Yadav et al. 2023, arXiv:2306.01708, without its trimming: what the masks left out is 0 already.
    """
    agree = (deltas.sign() == deltas.sum(0).sign()) & (deltas != 0)
    return (deltas * agree).sum(0) / agree.sum(0).clamp_min(1)
