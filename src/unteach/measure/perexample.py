"""Each row's own gradient, from one backward pass over many rows.

A module that looks at one token at a time gives every token's part of its weight's gradient by itself, from what went
in and what comes back to what came out; a row's gradient is the sum over its own tokens. So the backward pass goes to
what the modules put out and to no weight. Goodfellow 2015, arXiv:1510.01799.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call

from unteach.lm.anatomy import stored_in_out
from unteach.lm.batch import Batch, Row, collate
from unteach.lm.model import LM
from unteach.lm.view import View

_Call = tuple[nn.Module, Tensor, Tensor]  # what a module was given and what it put out, before a hook changed that


@dataclass(frozen=True, eq=False)
class Share:
    """What K tokens give to the gradient of a weight (O, I): the sum over them of left right'.

    A `left` of K numbers stands for rows of the identity matrix. A vector is one row.
    """

    left: Shaped[Tensor, "K ..."]
    right: Float[Tensor, "K I"]
    height: int  # O

    def of(self, tokens: slice) -> "Share":
        """The share of some of the tokens."""
        return Share(self.left[tokens], self.right[tokens], self.height)


def separable(lm: LM) -> bool:
    """Whether every weight is held, and read by nobody else, by a module of a kind that is known here."""
    return not lm.model.training and lm.adapter is None and all(map(_known, _owners(lm)))


def gradients(lm: LM, rows: Sequence[Row]) -> Iterator[list[list[Share]]]:
    """Of each row, weight after weight, what adds up to the gradient of the mean loss of its answer tokens."""
    batch = collate(rows, [""] * len(rows), pad=lm.pad, device=lm.device)
    still = {name: w.detach() for name, w in lm.parameters().items()}
    with torch.enable_grad(), _watched(_owners(lm)) as calls:
        loss = -View(lm.run(batch, still), slice(0, len(rows))).means.sum()
        back = torch.autograd.grad(loss, [put for _, _, put in calls], allow_unused=True)
    at_trunk, head = (0, *batch.real.sum(1).cumsum(0).tolist()), lm.model.get_output_embeddings()
    found: dict[int, list[tuple[Share, Sequence[int]]]] = {}  # a tied weight has several shares
    for (module, read, _), delta in zip(calls, back, strict=True):
        if delta is None:
            continue
        if module is not head:
            read, delta = _tokens(read, read, batch), _tokens(delta, read, batch)
        for name, share in _shares(module, read, delta.float()).items():
            parts = found.setdefault(id(getattr(module, name)), [])
            parts.append((share, batch.offsets if module is head else at_trunk))
    for n in range(len(rows)):
        yield [[share.of(slice(*at[n : n + 2])) for share, at in parts] for parts in found.values()]


def norm(shares: Sequence[Share], p: float) -> Tensor:
    """The p-norm of their sum; where tokens are few, the 2-norm comes from their products with each other."""
    shape = shares[0].height, shares[0].right.shape[1]
    if p == 2 and sum(len(s.right) for s in shares) * sum(shape) < shape[0] * shape[1]:
        return torch.stack([_product(a, b) for a in shares for b in shares]).sum().clamp_min(0).sqrt()
    whole = shares[0].right.new_zeros(shape)
    for share in shares:
        if share.left.is_floating_point():
            whole.addmm_(share.left.T, share.right)
        else:
            whole.index_add_(0, share.left, share.right)
    size: Tensor = torch.linalg.vector_norm(whole, p)
    return size


def _product(a: Share, b: Share) -> Tensor:
    """The sum over all entries of A * B."""
    return (_meet(a.left, b.left) * (a.right @ b.right.T)).sum()


def _meet(a: Tensor, b: Tensor) -> Shaped[Tensor, "K L"]:
    if a.is_floating_point():
        return a @ b.T if b.is_floating_point() else a[:, b]
    return b[:, a].T if b.is_floating_point() else a[:, None] == b


def _owners(lm: LM) -> list[nn.Module]:
    counted = {id(w) for w in lm.parameters().values()}
    return [m for m in lm.model.modules() if any(id(w) in counted for w in m.parameters(recurse=False))]


def _known(module: nn.Module) -> bool:
    norm = type(module).__name__.endswith("Norm") and {w.dim() for w in module.parameters()} == {1}
    return norm or type(module) is nn.Linear or stored_in_out(module) or isinstance(module, nn.Embedding)


@contextmanager
def _watched(modules: Sequence[nn.Module]) -> Iterator[list[_Call]]:
    calls: list[_Call] = []

    def see(module: nn.Module, args: tuple[Any, ...], put: Tensor) -> None:
        # Nothing before an embedding asks for a gradient.
        calls.append((module, args[0].detach(), put if put.requires_grad else put.requires_grad_()))

    handles = [m.register_forward_hook(see, prepend=True) for m in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _tokens(states: Tensor, read: Tensor, batch: Batch) -> Tensor:
    """(R, ...) from (1, R, ...) or (B, T, ...); heads may stand before tokens, which lie further apart in memory."""
    if read.dim() == 4 and (read.stride(2), read.shape[2]) > (read.stride(1), read.shape[1]):
        states = states.transpose(1, 2)
    padded = states.shape[:2] == batch.ids.shape
    return states.flatten(0, 1).index_select(0, batch.places) if padded else states[0]


def _shares(module: nn.Module, read: Tensor, back: Tensor) -> dict[str, Share]:
    """By the names of a module's weights."""
    if isinstance(module, nn.Embedding):
        back = back * getattr(module, "embed_scale", 1.0)  # Gemma 3's own
        if module.padding_idx is not None:  # a row that does not learn
            back = back * (read != module.padding_idx)[:, None]
        return {"weight": Share(read, back, module.num_embeddings)}
    read, ones = read.float(), back.new_ones(len(back), 1)
    if stored_in_out(module):
        weight = Share(read, back, read.shape[1])
    elif type(module) is nn.Linear:
        weight = Share(back, read, back.shape[1])
    else:
        weight = Share(ones, _summed(back * _unit(module, read)), 1)
    return {"weight": weight, "bias": Share(ones, _summed(back), 1)} if _biased(module) else {"weight": weight}


def _biased(module: nn.Module) -> bool:
    return getattr(module, "bias", None) is not None


def _summed(values: Float[Tensor, "K *H I"]) -> Float[Tensor, "K I"]:
    """Over heads, where a norm looks at each by itself."""
    return values.flatten(1, -2).sum(1) if values.dim() > 2 else values


class _Bare(nn.Module):
    """A module without the hooks that it wears."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, states: Tensor) -> Tensor:
        found: Tensor = self.module.forward(states)
        return found


@torch.no_grad()
def _unit(module: nn.Module, read: Tensor) -> Tensor:
    """What one unit of a norm's weight adds to each feature: the normalised input, whatever else the norm adds."""

    def put(unit: float) -> Tensor:
        weights = {
            f"module.{n}": torch.full_like(w, unit * (n == "weight"), dtype=read.dtype)
            for n, w in module.named_parameters()
        }
        found: Tensor = functional_call(_Bare(module), weights, (read,))
        return found

    return put(1) - put(0)
