"""Two closed forms of editing at the width of larger models, and the usual way to them."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.straightforward import editing as straightforward
from unteach.methods.facts.directions import unused
from unteach.methods.facts.solve import spread_evenly

SOLVED, PROJECTED = 4096, 2048  # widths


def solving(width: int = SOLVED, *, device: str = "cpu") -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """One batch of ten facts, where the second moment's factor is there already."""
    moment, weight = _moment(width, device), 0.2 * width
    keys = torch.randn(10, width, generator=torch.Generator().manual_seed(1)).to(device)
    factor = torch.linalg.cholesky(moment.double())
    dense = straightforward.dense({"": moment}, weight)
    return lambda: dense("", keys.double().T).T, lambda: spread_evenly(keys, factor, weight)


def projecting(width: int = PROJECTED, *, device: str = "cpu") -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """The projector on the directions that text hardly uses, both in float64."""
    moment = _moment(width, device)
    low, high = torch.linalg.eigvalsh(moment.double())[width // 2 - 1 : width // 2 + 1].tolist()
    threshold = (low + high) / 2
    return lambda: straightforward.null_space(moment.double(), threshold), lambda: unused(moment, threshold)


def _moment(width: int, device: str) -> Tensor:
    """A second moment of keys, half of whose directions are hardly used."""
    dice = torch.Generator().manual_seed(0)
    keys = torch.randn(2 * width, width, generator=dice) * torch.where(torch.arange(width) < width // 2, 1.0, 0.01)
    return (keys.T @ keys / len(keys)).to(device)
