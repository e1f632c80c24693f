"""Attention within short rows on a processor, its weights written down: there that is faster than to keep none.

Heads of queries that share a head of keys lie behind each other, so that every product is one of larger matrices.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from unteach.lm.batch import Batch

SHORT = 128  # tokens: of longer rows, much of the weights would be zeros


def short(batch: Batch, query: Tensor) -> bool:
    """Whether rows are better off here."""
    plain = query.device.type == "cpu" and query.dtype == torch.float32
    return plain and all(group.shape[1] <= SHORT for group in batch.groups)


def written(
    query: Float[Tensor, "R H E"], key: Float[Tensor, "R K E"], value: Float[Tensor, "R K E"], batch: Batch, *,
    scale: float, window: int | None,
) -> Float[Tensor, "R H E"]:  # fmt: skip
    """softmax(scale q k') v over what stands in a row up to each token, or in a window that ends with it."""
    found: Tensor = _Written.apply(query, key, value, batch, scale, window)  # type: ignore[no-untyped-call]
    return found


def within(width: int, window: int | None, device: torch.device | None = None) -> Bool[Tensor, "T T"]:
    """True where a key is neither ahead nor out of the window."""
    at = torch.arange(width, device=device)
    ago = at[:, None] - at
    return (ago >= 0) & (ago < (width if window is None else window))


@lru_cache(32)
def _hidden(width: int, window: int | None, times: int) -> Float[Tensor, "GT T"]:
    return torch.zeros(width, width).masked_fill(~within(width, window), -torch.inf).repeat(times, 1)


class _Written(torch.autograd.Function):
    """p = softmax(s q k'), y = p v; so dv = p' dy, and with ds = p (dy v' - sum y dy) dq = s ds k and dk = s ds' q."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, batch: Batch, scale: float, window: int | None
    ) -> Tensor:
        ctx.batch, ctx.scale, ctx.keys = batch, scale, key.shape[1]
        q, k, v = (_side_by_side(x, batch) for x in (query, key, value))
        y, weights = torch.empty_like(q), []
        for a, b, c, found in _groups(batch, ctx.keys, q, k, v, y):
            hidden = _hidden(b.shape[1], window, a.shape[1] // b.shape[1])
            p = torch.baddbmm(hidden, a, b.transpose(1, 2), alpha=scale).softmax(-1)
            weights.append(p)
            torch.bmm(p, c, out=found)
        ctx.save_for_backward(q, k, v, y, *weights)
        return _back(y, batch, query.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, y, *weights = ctx.saved_tensors
        batch, scale, heads = ctx.batch, ctx.scale, grad.shape[1]
        dy = torch.zeros_like(y).index_copy_(0, batch.heads(heads).returns, grad.reshape(-1, y.shape[1]))
        apart = (dy * y).sum(1, keepdim=True)
        dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
        of = _groups(batch, ctx.keys, q, k, v, dy, apart, dq, dk, dv)
        for p, (a, b, c, g, mean, da, db, dc) in zip(weights, of, strict=True):
            torch.bmm(p.transpose(1, 2), g, out=dc)
            steered = torch.bmm(g, c.transpose(1, 2)).sub_(mean).mul_(p)
            torch.bmm(steered, b, out=da)
            torch.bmm(steered.transpose(1, 2), a, out=db)
        found = _back(dq, batch, heads).mul_(scale), _gathered(dk, batch, ctx.keys).mul_(scale)
        return *found, _gathered(dv, batch, ctx.keys), None, None, None


def _side_by_side(x: Float[Tensor, "R N E"], batch: Batch) -> Float[Tensor, "P E"]:
    return x.reshape(-1, x.shape[2]).index_select(0, batch.heads(x.shape[1]).sources)


def _back(laid: Float[Tensor, "P E"], batch: Batch, heads: int) -> Float[Tensor, "R N E"]:
    return laid.index_select(0, batch.heads(heads).returns).view(-1, heads, laid.shape[1])


def _gathered(laid: Float[Tensor, "P E"], batch: Batch, heads: int) -> Float[Tensor, "R N E"]:
    """The sum over all places of each token, where some stand in several rows."""
    if not batch.shares:
        return _back(laid, batch, heads)
    found = laid.new_zeros(len(batch.places) * heads, laid.shape[1])
    return found.index_add_(0, batch.heads(heads).sources, laid).view(-1, heads, laid.shape[1])


def _groups(batch: Batch, keys: int, *laid: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Each group of rows, (b * keys, places, E) of every (P, E): what shares a head of keys, head behind head."""
    places = [group.numel() for group in batch.groups]
    parts = [torch.split(x, [n * (len(x) // sum(places)) for n in places]) for x in laid]
    for group, some in zip(batch.groups, zip(*parts, strict=True), strict=True):
        yield tuple(x.view(len(group) * keys, -1, x.shape[1]) for x in some)
