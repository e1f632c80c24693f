"""Changes of what a module puts out while the model runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

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
class Affine:
    """matrix @ (h - center) + center: an eraser or a projection about a point."""

    matrix: Float[Tensor, "D D"]
    center: Float[Tensor, " D"]

    def __call__(self, h: Tensor, site: Site) -> Tensor:  # noqa: ARG002 - the same everywhere
        center = self.center.to(h.device, h.dtype)
        return (h - center) @ self.matrix.to(h.device, h.dtype).T + center


MAPS: Mapping[str, type[Any]] = {c.__name__: c for c in (Shift, Affine, Codebook, SideMemory)}
