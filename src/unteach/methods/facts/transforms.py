"""MEND's editor: gradients, factor by factor, through networks that begin as the identity."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unteach.methods.facts.gradients import Change, Factors

TINY = 1e-7


class Running(nn.Module):
    """Mean and deviation of each feature over all rows seen in training, by Welford's rule; 0 and 1 before there are two."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.count: Tensor
        self.mean: Tensor
        self.squares: Tensor
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(width, dtype=torch.float64))

    def forward(self, rows: Float[Tensor, "K W"]) -> Float[Tensor, "K W"]:
        if self.training:
            self._take(rows.detach().double())
        if self.count < 2:
            return rows
        deviation = (self.squares / (self.count - 1)).sqrt()
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
        return (rows - self.mean.to(rows)) / (deviation.to(rows) + TINY)

    def _take(self, rows: Tensor) -> None:
        """Many rows at once, as if one after another."""
        if not len(rows):
            return
        count, mean = len(rows), rows.mean(0)
        apart, whole = mean - self.mean, self.count + count
        self.squares += (rows - mean).square().sum(0) + apart.square() * self.count * count / whole
        self.mean += apart * count / whole
        self.count += count


class Residual(nn.Module):
    """x + relu((U V x + b) * scale + shift) with U = 0 at first; scale and shift are those of one of several weights."""

    def __init__(self, width: int, rank: int, weights: int) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.zeros(width, rank))
        self.v = nn.Parameter(torch.randn(rank, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(weights, width))
        self.shift = nn.Parameter(torch.zeros(weights, width))

    def forward(self, rows: Float[Tensor, "K W"], weight: int) -> Float[Tensor, "K W"]:
        inner = (rows @ self.v.T @ self.u.T + self.bias) * self.scale[weight] + self.shift[weight]
        return rows + inner.clamp(min=0)  # unlike relu it passes a gradient at 0, where it begins


class Transform(nn.Module):
    """What turns the factors of weights of one shape: normalised, side by side, through two layers."""

    def __init__(self, shape: tuple[int, int], rank: int, weights: int) -> None:
        super().__init__()
        width = sum(shape)
        self.shape = shape
        self.x, self.delta = Running(shape[0]), Running(shape[1])
        self.layers = nn.ModuleList(Residual(width, min(rank, width), weights) for _ in range(2))

    def forward(self, x: Tensor, delta: Tensor, weight: int) -> tuple[Tensor, Tensor]:
        rows = torch.cat([self.x(x), self.delta(delta)], 1)
        for layer in self.layers:
            rows = layer(rows, weight)
        return rows[:, : self.shape[0]], rows[:, self.shape[0] :]


class GradientTransforms(nn.Module):
    """All weights' transforms, shared by weights of one shape, and a step size for each weight."""

    def __init__(self, maps: Mapping[str, tuple[int, int]], rank: int, step: float) -> None:
        super().__init__()
        self.maps = {path: (shape[0], shape[1]) for path, shape in maps.items()}
        alike = {s: [p for p, shape in self.maps.items() if shape == s] for s in dict.fromkeys(self.maps.values())}
        self.number = {path: paths.index(path) for paths in alike.values() for path in paths}
        self.transforms = nn.ModuleDict({_name(s): Transform(s, rank, len(paths)) for s, paths in alike.items()})
        self.steps = nn.Parameter(torch.full((len(self.maps),), step))

    def forward(self, found: Change, _told: Sequence[Tensor]) -> Change:
        change = {}
        for n, (path, shape) in enumerate(self.maps.items()):
            terms = found[path]
            x, delta = self.transforms[_name(shape)](terms.x, terms.delta, self.number[path])
            change[path] = Factors(x, -self.steps[n] * delta, terms.fact)
        return change


def _name(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"
