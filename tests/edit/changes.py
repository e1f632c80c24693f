"""Edits of every kind for a tiny model, drawn at random."""

from collections.abc import Mapping

import torch
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.maps import ActivationMap, Affine, Shift
from unteach.edit.patches import Add, AddOuter, Lerp, Patch, Put, Scale
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return 0.2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def places(lm: LM) -> tuple[str, str, str]:
    """A linear map of the first block, one of the last, and the (tied) embedding."""
    where = anatomy(lm.model)
    first, last = f"{where.blocks}.0.{where.mlp_out}.weight", f"{where.blocks}.{lm.layers - 1}.{where.attn_out}.weight"
    return first, last, next(iter(lm.parameters()))


def outer(weight: Tensor, seed: int, rank: int = 2) -> AddOuter:
    rows, columns = weight.shape
    return AddOuter(drawn(rows, rank, seed=seed), drawn(rank, columns, seed=seed + 1), 3.0)


def on_weights(lm: LM, seed: int = 0) -> Edit:
    """Every kind of patch: a low-rank term, a chain on another weight, and the tied embedding."""
    first, last, tied = places(lm)
    found = lm.parameters()
    weights: Mapping[str, tuple[Patch, ...]] = {
        first: (outer(found[first], seed),),
        last: (
            Put(drawn(*found[last].shape, seed=seed + 2)),
            Scale(torch.tensor(0.5)),
            Lerp(0.3, (Add(drawn(*found[last].shape, seed=seed + 3)),)),
            outer(found[last], seed + 4),
        ),
        tied: (Add(drawn(*found[tied].shape, seed=seed + 5)),),
    }
    return Edit(lm.digest(), weights, made_by=f"drawn from {seed}")


def low_rank(lm: LM, seed: int = 0) -> Edit:
    """Low-rank terms alone."""
    return Edit(lm.digest(), {n: (outer(lm.parameters()[n], seed),) for n in places(lm)[:2]}, made_by="low rank")


def on_activations(lm: LM, seed: int = 0) -> Edit:
    """Both kinds of activation map, after two blocks."""
    blocks, width = anatomy(lm.model).blocks, lm.model.config.hidden_size
    maps: Mapping[str, tuple[ActivationMap, ...]] = {
        f"{blocks}.0": (Shift(drawn(width, seed=seed)),),
        f"{blocks}.1": (
            Affine(torch.eye(width) + drawn(width, width, seed=seed + 1), drawn(width, seed=seed + 2)),
            Shift(drawn(width, seed=seed + 3)),
        ),
    }
    return Edit(lm.digest(), activations=maps, made_by="maps")
