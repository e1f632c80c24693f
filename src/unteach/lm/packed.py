"""A forward pass without padding: rows lie end to end, and side by side only inside attention.

Every other part of a transformer looks at one token at a time, so the (1, R) sequence of the R tokens to compute,
each with its position in its own row, gives what the padded (B, T) batch gives. Rows are padded on the right, where
causal attention never looks. What rows begin with alike is the same in all of them, and computed once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from unteach.lm.anatomy import anatomy, blocks, trunk
from unteach.lm.attention import short, within, written
from unteach.lm.batch import Batch

NAME = "unteach_packed"  # under which transformers finds the attention below
_laid: ContextVar[Batch] = ContextVar("laid")  # the batch whose rows the attention is to tell apart


def packs(model: nn.Module) -> bool:
    """Whether a model's attention can be told where rows end; checkpointed blocks run again when nobody tells it."""
    return anatomy(model).packs and not getattr(blocks(model)[0], "gradient_checkpointing", False)


def packed_states(model: Any, batch: Batch) -> Float[Tensor, "1 R D"]:
    """The last hidden states of the computed tokens, row after row."""
    with _attending(model, batch):
        states: Tensor = trunk(model)(
            input_ids=batch.ids[batch.owned][None], position_ids=batch.positions[batch.owned][None], use_cache=False
        ).last_hidden_state
    return states


@contextmanager
def _attending(model: Any, batch: Batch) -> Iterator[None]:
    config, token = model.config, _laid.set(batch)
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _laid.reset(token)


def _attention(
    _module: nn.Module, query: Tensor, key: Tensor, value: Tensor, _mask: Tensor | None, *,
    scaling: float | None = None, dropout: float = 0.0, sliding_window: int | None = None,
    softcap: float | None = None, **_others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """(1, H, R, E) queries and keys to (1, R, H, E) values, each row attending to itself alone."""
    batch = _laid.get()
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if softcap is None and not dropout and short(batch, query):
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        return written(q, k, v, batch, scale=scale, window=sliding_window)[None], None
    shared = query.shape[1] != key.shape[1]  # heads of keys, by several heads of queries
    repeated = shared and (query.device.type != "cpu" or softcap is not None)
    if repeated:
        key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    tokens = [x[0].transpose(0, 1) for x in (query, key, value)]
    found = []
    for q, k, v in zip(*(_spread(x, batch) for x in tokens), strict=True):
        width = q.shape[2]
        seen = None if sliding_window is None or sliding_window >= width else within(width, sliding_window, q.device)
        if softcap is not None:
            out = _capped(q, k, v, seen, softcap, scale)
        else:
            gqa = shared and not repeated
            out = scaled_dot_product_attention(
                q, k, v, seen, dropout, is_causal=seen is None, scale=scale, enable_gqa=gqa
            )
        found.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(found).index_select(0, batch.returns)[None], None


def _spread(tokens: Float[Tensor, "R H E"], batch: Batch) -> list[Float[Tensor, "b H t E"]]:
    """The tokens of each group of rows, and any where a row has none."""
    sources = torch.cat([group.flatten() for group in batch.groups])
    laid: Tensor = _Laid.apply(tokens.flatten(1), sources, None if batch.shares else batch.returns)  # type: ignore[no-untyped-call]
    parts = torch.split(laid, [group.numel() for group in batch.groups])
    heads = tokens.shape[1:]
    return [x.view(*group.shape, *heads).transpose(1, 2) for x, group in zip(parts, batch.groups, strict=True)]


class _Laid(torch.autograd.Function):
    """Tokens at several places; where each real one has a place of its own, its gradient is read there.

    Nothing comes back from the places that hold no token.
    """

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, sources: Tensor, returns: Tensor | None) -> Tensor:
        ctx.save_for_backward(sources, returns)
        ctx.count = len(tokens)
        return tokens.index_select(0, sources)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        sources, returns = ctx.saved_tensors
        if returns is not None:
            return grad.index_select(0, returns), None, None
        return grad.new_zeros(ctx.count, *grad.shape[1:]).index_add(0, sources, grad), None, None


def _capped(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, cap: float, scale: float) -> Tensor:
    scores = torch.tanh(q @ k.transpose(2, 3) * scale / cap) * cap
    hidden = ~(within(q.shape[2], None, q.device) if seen is None else seen)
    weights = scores.masked_fill(hidden, -torch.inf).softmax(-1, dtype=torch.float32)
    return weights.to(q.dtype) @ v


AttentionInterface.register(NAME, _attention)
