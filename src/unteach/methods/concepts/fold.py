"""Erasers moved into the weights that read what they erase."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unteach.edit.maps import Erase
from unteach.edit.patches import Add, AddOuter, Patch
from unteach.lm.anatomy import anatomy, stored_in_out
from unteach.lm.model import LM
from unteach.schema import InputError


def readers(lm: LM) -> dict[str, list[str]]:
    """The linear maps that read each norm in front of a block's halves, by paths."""
    where = anatomy(lm.model)
    return {
        f"{where.blocks}.{n}.{norm}": [f"{where.blocks}.{n}.{linear}" for linear in linears]
        for n in range(lm.layers)
        for norm, linears in where.entered
    }


def foldable(lm: LM, *, affine: bool) -> None:
    """Refuse a model whose weights cannot take erasers in, with the reason."""
    for path in (linear for linears in readers(lm).values() for linear in linears):
        module = lm.model.get_submodule(path)
        if hasattr(module, "base_layer"):
            raise InputError(f"the weight of '{path}' lies under an adapter; merge it, or wear the eraser: fold=False")
        if not next(module.parameters()).is_floating_point():
            raise InputError(f"the weight of '{path}' is quantised; wear the eraser instead: fold=False")
        if affine and getattr(module, "bias", None) is None:
            raise InputError(
                f"'{path}' has no bias, which would hold what the eraser adds; wear the eraser (fold=False), or let it "
                "add nothing (affine=False)"
            )


@torch.no_grad()
def folded(lm: LM, erasers: Mapping[str, Erase]) -> dict[str, tuple[Patch, ...]]:
    """W (I - left right) and b + W left right center, for every map W, b that reads an erased state."""
    patches: dict[str, tuple[Patch, ...]] = {}
    for norm, eraser in erasers.items():
        for path in readers(lm)[norm]:
            module = lm.model.get_submodule(path)
            read = _weight(module) @ eraser.left.double()
            right = eraser.right.double()
            in_out = stored_in_out(module)
            left, right = (right.T, read.T) if in_out else (read, right)
            patches[f"{path}.weight"] = (AddOuter(left.to(eraser.left), right.to(eraser.left), -1.0),)
            added = read @ (eraser.right.double() @ eraser.center.double())
            if added.any():
                patches[f"{path}.bias"] = (Add(added.to(eraser.left)),)
    return patches


def _weight(module: nn.Module) -> Tensor:
    """A linear map's weight as (out, in)."""
    weight = next(p for name, p in module.named_parameters() if name == "weight").double()
    return weight.T if stored_in_out(module) else weight
