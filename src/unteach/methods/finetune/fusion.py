"""Unlearning layers of several requests, fused into one in closed form."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.maps import Layer
from unteach.schema import InputError

RIDGE = 1e-9  # of the mean diagonal, where the sum of the Gram matrices is singular


def fused(edits: Sequence[Edit]) -> Edit:
    """The edits of `eul` on one model, each made without the others, as one edit with one layer at each place.

        minimise over W  sum over requests i of ||X_i W - X_i W_i||^2,   W = (sum X_i' X_i)^-1 sum X_i' X_i W_i

    X_i is what entered the layer at the rows of request i, forgotten and kept: fitted to the forgotten ones alone, the
    fused layer would be free to do anything to the others. Nothing but the matrices X_i' X_i is needed, which
    the layers carry; the fused ones carry their sums, so that more can be fused in later. Chen and Yang 2023,
    arXiv:2310.20150. Where no request looked, the fused layer does nothing. It is fitted to inputs that lie behind each
    request's own layers, not behind the fused ones.
    """
    if len({edit.base for edit in edits}) != 1 or len({tuple(sorted(edit.activations)) for edit in edits}) != 1:
        raise InputError("only unlearning layers at the same places of one model can be fused; give edits of eul on it")
    if any(edit.weights or edit.guards or not edit.activations for edit in edits):
        raise InputError("only unlearning layers can be fused, and nothing else; give edits of eul")
    places = {path: [_only(edit.activations[path]) for edit in edits] for path in edits[0].activations}
    made_by = f"fused({', '.join(edit.made_by for edit in edits)})"
    activations = {path: (_fused(found),) for path, found in places.items()}
    return Edit(edits[0].base, activations=activations, made_by=made_by, guarantee=edits[0].guarantee)


def fuse(
    grams: Sequence[Float[Tensor, "D D"]], weights: Sequence[Float[Tensor, "D O"]], ridge: float = RIDGE
) -> Float[Tensor, "D O"]:
    """(sum G_i)^-1 sum G_i W_i; where the sum is singular, a ridge of that share of its mean diagonal is added."""
    whole: Tensor = torch.stack(list(grams)).sum(0)
    wanted: Tensor = torch.stack([g @ w for g, w in zip(grams, weights, strict=True)]).sum(0)
    if torch.linalg.matrix_rank(whole, hermitian=True) < len(whole):
        whole = whole + ridge * whole.diagonal().mean() * torch.eye(len(whole)).to(whole)
    solved: Tensor = torch.linalg.solve(whole, wanted)
    return solved


def _fused(found: Sequence[Layer]) -> Layer:
    grams = [layer.gram.double() for layer in found]
    weight = fuse(grams, [layer.down.cpu().double() @ layer.up.cpu().double() for layer in found])
    return Layer(weight.to(found[0].up), torch.eye(len(weight)).to(found[0].up), torch.stack(grams).sum(0))


def _only(maps: tuple[Any, ...]) -> Layer:
    if len(maps) != 1 or not isinstance(maps[0], Layer):
        raise InputError("only unlearning layers can be fused; give edits of eul that were made on the plain model")
    found: Layer = maps[0]
    return found
