"""Continuous batching: answers that are written together, which others may join at any token.

Yu et al. 2022, "Orca: A Distributed Serving System for Transformer-Based Generative Models", OSDI 2022.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from unteach.lm.anatomy import head, trunk
from unteach.lm.generate import Reply, choose, over
from unteach.lm.model import LM
from unteach.lm.trace import positions_of


@dataclass(frozen=True, eq=False)
class Rows:
    """Answers side by side, padded on the left: `ids` are read next, `cache` holds what was read before them."""

    replies: tuple[Reply, ...]
    ids: Int[Tensor, "B t"]
    real: Bool[Tensor, "B T"]
    cache: DynamicCache


class ContinuousBatch:
    """Greedy answers, written a token at a time. One leaves when it has ended, or when nobody waits for it.

    The model must wear the same whenever answers join or go on: what it has read of them is kept as it read it.
    """

    def __init__(self, lm: LM) -> None:
        self._lm = lm
        self._rows: Rows | None = None

    @property
    def replies(self) -> tuple[Reply, ...]:
        """The answers that want another token."""
        return self._rows.replies if self._rows else ()

    @property
    def joinable(self) -> bool:
        """Whether others may join now: not where a model keeps less than all it has read, as in a sliding window."""
        return self._rows is None or all(type(layer) is DynamicLayer for layer in self._rows.cache.layers)

    @torch.no_grad()
    def join(self, replies: Sequence[Reply]) -> None:
        """Take in answers: their questions are read, and each gets its first token."""
        assert self.joinable, "answers would join a batch whose model has forgotten where they began"
        given, device = [r.given for r in replies], self._lm.device
        width = max(map(len, given))
        ids = torch.tensor([[self._lm.pad] * (width - len(g)) + g for g in given], device=device)
        real = torch.arange(width, device=device) >= width - torch.tensor([[len(g)] for g in given], device=device)
        new = self._written(Rows(tuple(replies), ids, real, DynamicCache(config=self._lm.model.config)))
        self._rows = joined(self._rows, new) if self._rows and new else new or self._rows

    @torch.no_grad()
    def step(self) -> None:
        """Write another token of each answer that somebody waits for."""
        rows = kept(self._rows, [not r.unwanted for r in self.replies]) if self._rows else None
        self._rows = self._written(rows) if rows else None

    def _written(self, rows: Rows) -> Rows | None:
        """The rows with a token more, without those that have ended."""
        model, stops = self._lm.model, self._lm.encoder.stops
        self._lm.started(torch.tensor([len(r.prompt) for r in rows.replies], device=self._lm.device))
        positions = positions_of(rows.real)[:, -rows.ids.shape[1] :]
        out = trunk(model)(
            input_ids=rows.ids, attention_mask=rows.real.long(), position_ids=positions, past_key_values=rows.cache,
            use_cache=True,
        )  # fmt: skip
        chosen = choose(head(model, out.last_hidden_state[:, -1]), rows.replies)
        for reply, token in zip(rows.replies, chosen, strict=True):
            if token not in stops:
                reply.ids.append(token)
                reply.room -= 1
        real = torch.cat([rows.real, torch.ones_like(rows.real[:, :1])], 1)
        stay = [t not in stops and not over(self._lm.encoder, r) for r, t in zip(rows.replies, chosen, strict=True)]
        return kept(replace(rows, ids=torch.tensor(chosen, device=self._lm.device)[:, None], real=real), stay)


def kept(rows: Rows, stay: Sequence[bool]) -> Rows | None:
    """Some of the rows; None where there would be none."""
    if all(stay) or not any(stay):
        return rows if any(stay) else None
    at = torch.tensor([k for k, stays in enumerate(stay) if stays], device=rows.ids.device)
    rows.cache.batch_select_indices(at)
    replies = tuple(reply for reply, stays in zip(rows.replies, stay, strict=True) if stays)
    return Rows(replies, rows.ids[at], rows.real[at], rows.cache)


def joined(first: Rows, second: Rows) -> Rows:
    """Both, each of whose rows has one token to be read next.

    Columns that no row fills any more are dropped: a batch that is never empty would grow for ever.
    """
    width = max(int(rows.real.sum(1).max()) for rows in (first, second))
    for into, layer in zip(first.cache.layers, second.cache.layers, strict=True):
        into.keys = torch.cat([_fitted(x.keys, width - 1) for x in (into, layer)])
        into.values = torch.cat([_fitted(x.values, width - 1) for x in (into, layer)])
    real = torch.cat([pad(rows.real, (width - rows.real.shape[1], 0)) for rows in (first, second)])
    return Rows(first.replies + second.replies, torch.cat([first.ids, second.ids]), real, first.cache)


def _fitted(states: Tensor, width: int) -> Tensor:
    """States (B, H, T, D) of the last `width` tokens, with nothing before the first."""
    return pad(states, (0, 0, width - states.shape[2], 0))
