"""The gradient of a linear map's weight, kept as what it is a sum of: a token's input x times what comes back, delta."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from unteach.edit.patches import AddOuter
from unteach.lm.anatomy import anatomy, stored_in_out
from unteach.lm.batch import Batch, Row, collate
from unteach.lm.forward import computed
from unteach.lm.model import LM
from unteach.lm.view import View


@dataclass(frozen=True, eq=False)
class Factors:
    """K outer products whose sum changes a linear map: x (K, I) on the side that it reads, delta (K, O) on the side that
    it writes, and the number of the fact that each belongs to.
    """

    x: Float[Tensor, "K I"]
    delta: Float[Tensor, "K O"]
    fact: Int[Tensor, " K"]


Change = dict[str, Factors]  # by the path of the map


def mlp_maps(lm: LM, blocks: int) -> dict[str, tuple[int, int]]:
    """The linear maps in the MLPs of the last blocks, with how many features they read and write."""
    place = anatomy(lm.model)
    starts = tuple(
        f"{place.blocks}.{n}.{place.mlp_out.rpartition('.')[0]}."
        for n in range(max(0, lm.layers - blocks), lm.layers)
    )  # fmt: skip
    found = {p: m for p, m in lm.model.named_modules() if p.startswith(starts) and _linear(p, m)}
    return {p: _shape(m) for p, m in found.items()}


def _linear(path: str, module: nn.Module) -> bool:
    inner = ".lora_" in path or path.endswith(".base_layer")
    return not inner and (isinstance(module, nn.Linear | LoraLayer) or stored_in_out(module))


def _shape(module: nn.Module) -> tuple[int, int]:
    owner: Any = getattr(module, "base_layer", module)
    if stored_in_out(module):
        return int(owner.weight.shape[0]), int(owner.weight.shape[1])
    return int(owner.in_features), int(owner.out_features)


def gradients(lm: LM, rows: Sequence[Row], paths: Sequence[str]) -> Change:
    """What the weights' gradients are sums of, where the loss of each row is -log p(answer) / its tokens.

    The gradient of a weight that is stored as (in, out) is the sum of x delta' over the tokens of all rows. Tokens that
    nothing comes back to are left out.
    """
    batch = collate(rows, [""] * len(rows), pad=lm.pad, device=lm.device)
    read: dict[str, Tensor] = {}
    probes: dict[str, Tensor] = {}
    with still(lm), torch.enable_grad(), _probed(lm, paths, read, probes):
        losses = -View(lm.run(batch), slice(0, len(rows))).means
        found = torch.autograd.grad(losses.sum(), [probes[p] for p in paths])
    owner = batch.owned.nonzero()[:, 0]
    return {p: _factors(read[p], back, batch, owner) for p, back in zip(paths, found, strict=True)}


def _factors(read: Tensor, back: Tensor, batch: Batch, owner: Tensor) -> Factors:
    x, delta = computed(read, batch).float(), computed(back, batch).float()
    met = (delta != 0).any(1) & (x != 0).any(1)
    return Factors(x[met], delta[met], owner[met])


@contextmanager
def _probed(lm: LM, paths: Sequence[str], read: dict[str, Tensor], probes: dict[str, Tensor]) -> Iterator[None]:
    """Add to what maps put out a zero each, whose gradient is what comes back to them."""

    def hook(path: str) -> Any:
        def probe(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            read[path], probes[path] = args[0].detach(), torch.zeros_like(output, requires_grad=True)
            return output + probes[path]

        return lm.model.get_submodule(path).register_forward_hook(probe)

    handles = [hook(path) for path in paths]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def still(lm: LM) -> Iterator[None]:
    """No gradient is kept for the model's own weights."""
    flags = {name: p.requires_grad for name, p in lm.model.named_parameters()}
    lm.model.requires_grad_(False)
    try:
        yield
    finally:
        for name, parameter in lm.model.named_parameters():
            parameter.requires_grad_(flags[name])


@contextmanager
def changed(lm: LM, change: Change, batch: Batch, meets: Int[Tensor, " B"]) -> Iterator[None]:
    """Each row of a batch meets the changes of one group of facts: row b those whose `fact` is `meets[b]`."""

    def hook(path: str, terms: Factors) -> Any:
        mine = meets[:, None] == terms.fact  # (B, K)
        packed = mine[batch.owned.nonzero()[:, 0]][None]

        def add(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            padded = args[0].shape[:2] == batch.ids.shape
            seen = args[0].float() @ terms.x.T * (mine[:, None] if padded else packed)
            return output + (seen @ terms.delta).to(output.dtype)

        return lm.model.get_submodule(path).register_forward_hook(add)

    handles = [hook(path, terms) for path, terms in change.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def patches(lm: LM, change: Change) -> dict[str, AddOuter]:
    """The changes of all facts together, as patches of the weights."""
    found = {}
    for path, terms in change.items():
        x, delta = (t.detach().contiguous() for t in (terms.x, terms.delta))
        in_out = stored_in_out(lm.model.get_submodule(path))
        left, right = (x.T, delta) if in_out else (delta.T, x)
        found[f"{path}.weight"] = AddOuter(left.contiguous(), right.contiguous())
    return found
