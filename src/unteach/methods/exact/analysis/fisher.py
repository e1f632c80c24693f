"""Which weights an analysis looks at, and the noise that it puts on them."""

import torch
from torch import Tensor

from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM


def from_block(lm: LM, where: float) -> tuple[str, ...]:
    """The names of all weights of the blocks from `where` on: a number of a block, or below 1 a share of the depth."""
    starts = tuple(f"{anatomy(lm.model).blocks}.{n}." for n in range(lm.layer(where), lm.layers))
    return tuple(n for n in lm.parameters() if n.startswith(starts))


def noise(like: Tensor, seed: int) -> Tensor:
    """Standard normal numbers of a shape, from a generator of their own."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    return torch.randn(like.shape, generator=generator).to(like.device)
