"""How states and their classes vary together, gathered portion by portion, and the eraser that follows from it."""

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.maps import Erase
from unteach.schema import InputError

FEWEST = 2  # states: of one there is no covariance


class Covariances:
    """Running means and co-moments of states x and classes z (one-hot), in float64, after Welford 1962."""

    def __init__(self, width: int, classes: int, device: torch.device | None = None) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        self.count = 0
        self.x, self.z = zeros(width), zeros(classes)
        self.xx, self.xz = zeros(width, width), zeros(width, classes)

    def add(self, x: Float[Tensor, "n D"], z: Float[Tensor, "n Z"]) -> None:
        """Take in more states, and the classes they belong to."""
        x, z = x.double(), z.double()
        self.count += len(x)
        ahead, aside = x - self.x, z - self.z
        self.x = self.x + ahead.sum(0) / self.count
        self.z = self.z + aside.sum(0) / self.count
        self.xx += ahead.T @ (x - self.x)
        self.xz += ahead.T @ (z - self.z)

    def within(self, *, shrinkage: bool) -> Float[Tensor, "D D"]:
        """The covariance of the states."""
        symmetric = (self.xx + self.xx.T) / 2
        return shrunk(symmetric / self.count, self.count) if shrinkage else symmetric / (self.count - 1)

    @property
    def cross(self) -> Float[Tensor, "D Z"]:
        """The covariance of states and classes."""
        return self.xz / (self.count - 1)


def shrunk(covariance: Float[Tensor, "D D"], count: int) -> Float[Tensor, "D D"]:
    """a S + (1 - a) tr(S)/D I with a = 1 - (tr(S)^2 / n) / (|S|^2 - tr(S)^2 / D). Bodnar et al. 2014, arXiv:1308.2608.

    Where so few states were seen that a would be negative, it is 0.
    """
    trace, width = covariance.trace(), len(covariance)
    apart = covariance.square().sum() - trace.square() / width
    keep = (1 - trace.square() / count / apart.clamp_min(torch.finfo(apart.dtype).tiny)).clamp(0, 1)
    return keep * covariance + (1 - keep) * trace / width * torch.eye(width).to(covariance)


def eraser(
    seen: Covariances, *, orthogonal: bool = False, affine: bool = True, shrinkage: bool = True, constrain_trace: bool = True,
    tolerance: float = 0.01,
) -> Erase:  # fmt: skip
    """The projection P, with P cov(x, z) = 0, that moves the states least; `orthogonal`: the orthogonal one."""
    if seen.count < FEWEST:
        raise InputError("an eraser is fitted to at least two states; give more records")
    within = seen.within(shrinkage=shrinkage)
    whiten, unwhiten = _roots(torch.eye(len(within)).to(within) if orthogonal else within)
    u, strength, _ = torch.linalg.svd(whiten @ seen.cross, full_matrices=False)
    u = u[:, strength > tolerance]
    left, right = unwhiten @ u, u.T @ whiten
    if constrain_trace:
        left, right = constrained(seen.within(shrinkage=False), left, right)
    return Erase(left, right, seen.x if affine else torch.zeros_like(seen.x))


def _roots(covariance: Float[Tensor, "D D"]) -> tuple[Tensor, Tensor]:
    """Its square root's pseudo-inverse, and its square root."""
    values, vectors = torch.linalg.eigh(covariance)
    real = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    values = torch.where(real, values, 1.0)
    inverse, root = (torch.where(real, values**power, 0.0) for power in (-0.5, 0.5))
    return vectors * inverse @ vectors.T, vectors * root @ vectors.T


def constrained(within: Tensor, left: Float[Tensor, "D K"], right: Float[Tensor, "K D"]) -> tuple[Tensor, Tensor]:
    """The same, or as near to it as a total variance that does not grow allows.

    By the covariance that it was made from, it takes the variance tr(left left') out; by that of the states seen, from
    which shrinkage led away, it may add some. Then it is mixed with the orthogonal projection that takes out the same
    space: every mixture of the two is a projection with that kernel, and erases as well.
    """
    basis, change = torch.linalg.qr(left)
    oblique, upright = change @ right, basis.T

    def removed(share: float) -> float:
        """How much less variance than before there is, with so much of the oblique projection."""
        mixed = share * oblique + (1 - share) * upright
        return float(2 * (mixed @ within @ basis).trace() - (mixed @ within @ mixed.T).trace())

    if removed(1.0) >= 0:
        return basis, oblique
    none, half, full = removed(0.0), removed(0.5), removed(1.0)  # three points of a parabola
    a, b = 2 * (full + none) - 4 * half, 4 * half - full - 3 * none
    share = (-b - (b * b - 4 * a * none) ** 0.5) / (2 * a)
    return basis, share * oblique + (1 - share) * upright
