"""Changes of what a module puts out while the model runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.memories import Codebook, SideMemory
from unteach.lm.trace import Site


class ActivationMap(Protocol):
    """A change of a module's output h (B, T, D); frozen, made of tensors and numbers only."""

    def __call__(self, h: Tensor, site: Site) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Shift:
    """h + vector at every real position (activation steering)."""

    vector: Float[Tensor, " D"]

    def __call__(self, h: Tensor, site: Site) -> Tensor:
        return h + site.mask[..., None] * self.vector.to(h.device, h.dtype)


@dataclass(frozen=True, eq=False)
class Turn:
    """h + vector at every real position, brought back to the length that h had."""

    vector: Float[Tensor, " D"]

    def __call__(self, h: Tensor, site: Site) -> Tensor:
        moved = h + self.vector.to(h.device, h.dtype)
        length, now = (x.norm(dim=-1, keepdim=True) for x in (h, moved))
        return torch.where(site.mask[..., None] & (now > 0), moved * (length / now), h)


@dataclass(frozen=True, eq=False)
class Erase:
    """h - left @ right @ (h - center): what K directions say is taken out, the rest stays."""

    left: Float[Tensor, "D K"]
    right: Float[Tensor, "K D"]
    center: Float[Tensor, " D"]

    def __call__(self, h: Tensor, site: Site) -> Tensor:  # noqa: ARG002 - the same everywhere
        return self.of(h)

    def of(self, h: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """States after it, wherever they stand."""
        left, right, center = (t.to(h.device, h.dtype) for t in (self.left, self.right, self.center))
        return h - (h - center) @ right.T @ left.T


@dataclass(frozen=True, eq=False)
class Affine:
    """matrix @ (h - center) + center: an eraser or a projection about a point."""

    matrix: Float[Tensor, "D D"]
    center: Float[Tensor, " D"]

    def __call__(self, h: Tensor, site: Site) -> Tensor:  # noqa: ARG002 - the same everywhere
        center = self.center.to(h.device, h.dtype)
        return (h - center) @ self.matrix.to(h.device, h.dtype).T + center


@dataclass(frozen=True, eq=False)
class Layer:
    """h + h @ down @ up: a trained linear layer behind a module; where `up` is 0 it changes nothing.

    `gram` is X' X over the inputs X that it was trained on: all that is needed to fuse it with others.
    """

    down: Float[Tensor, "D K"]
    up: Float[Tensor, "K D"]
    gram: Float[Tensor, "D D"]

    def __call__(self, h: Tensor, site: Site) -> Tensor:  # noqa: ARG002 - the same everywhere
        return h + h @ self.down.to(h.device, h.dtype) @ self.up.to(h.device, h.dtype)


MAPS: Mapping[str, type[Any]] = {c.__name__: c for c in (Shift, Turn, Erase, Affine, Layer, Codebook, SideMemory)}
