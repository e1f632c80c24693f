"""Continuous batching: answers that are written together, which others may join at any token.

Yu et al. 2022, "Orca: A Distributed Serving System for Transformer-Based Generative Models", OSDI 2022.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.nn.functional import pad as padded
from transformers import DynamicCache

from unteach.lm.anatomy import head, trunk
from unteach.lm.encoder import Encoder
from unteach.lm.guard import Session
from unteach.lm.roomy import Roomy, closed, roomy
from unteach.lm.trace import positions_of
from unteach.lm.view import likeliest


@dataclass
class Reply:
    """An answer while it is written: the ids it goes on from, what weighs its tokens, and how many it may still have."""

    prompt: list[int]
    sessions: Sequence[Session]
    room: int
    ids: list[int] = field(default_factory=list)
    until: Sequence[str] = ()  # texts that end the answer
    unwanted: bool = False  # nobody waits for the rest

    @property
    def given(self) -> list[int]:
        """What the model goes on from."""
        return self.prompt + self.ids


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

    def __init__(self, model: nn.Module, encoder: Encoder, *, pad: int, started: Callable[[Tensor], None]) -> None:
        self._model, self._encoder, self._pad, self._started = model, encoder, pad, started
        self._device = next(model.parameters()).device
        self._rows: Rows | None = None

    @property
    def replies(self) -> tuple[Reply, ...]:
        """The answers that want another token."""
        return self._rows.replies if self._rows else ()

    @property
    def joinable(self) -> bool:
        """Whether others may join now: not where a model keeps less than all it has read, as in a sliding window."""
        return self._rows is None or all(type(layer) is Roomy for layer in self._rows.cache.layers)

    @torch.no_grad()
    def join(self, replies: Sequence[Reply]) -> None:
        """Take in answers: their questions are read, and each gets its first token."""
        assert self.joinable, "answers would join a batch whose model has forgotten where they began"
        given, device = [r.given for r in replies], self._device
        width = max(map(len, given))
        ids = torch.tensor([[self._pad] * (width - len(g)) + g for g in given], device=device)
        real = torch.arange(width, device=device) >= width - torch.tensor([[len(g)] for g in given], device=device)
        new = self._written(Rows(tuple(replies), ids, real, roomy(self._model.config)))
        self._rows = joined(self._rows, new) if self._rows and new else new or self._rows

    @torch.no_grad()
    def step(self) -> None:
        """Write another token of each answer that somebody waits for."""
        rows = kept(self._rows, [not r.unwanted for r in self.replies]) if self._rows else None
        self._rows = self._written(rows) if rows else None

    def _written(self, rows: Rows) -> Rows | None:
        """The rows with a token more, without those that have ended."""
        model, stops = self._model, self._encoder.stops
        self._started(torch.tensor([len(r.prompt) for r in rows.replies], device=self._device))
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
        stay = [t not in stops and not over(self._encoder, r) for r, t in zip(rows.replies, chosen, strict=True)]
        return kept(replace(rows, ids=torch.tensor(chosen, device=self._device)[:, None], real=real), stay)


def kept(rows: Rows, stay: Sequence[bool]) -> Rows | None:
    """Some of the rows, in another order; None where there would be none."""
    if all(stay) or not any(stay):
        return rows if any(stay) else None
    order = closed(stay)
    at = torch.tensor(order, device=rows.ids.device)
    rows.cache.batch_select_indices(at)
    return Rows(tuple(rows.replies[k] for k in order), rows.ids[at], rows.real[at], rows.cache)


def joined(first: Rows, second: Rows) -> Rows:
    """Both, each of whose rows has one token to be read next.

    Columns that no row fills any more are dropped: a batch that is never empty would grow for ever.
    """
    width = max(int(rows.real.sum(1).max()) for rows in (first, second))
    for into, layer in zip(first.cache.layers, second.cache.layers, strict=True):
        into.keys = torch.cat([_fitted(x.keys, width - 1) for x in (into, layer)])
        into.values = torch.cat([_fitted(x.values, width - 1) for x in (into, layer)])
    real = torch.cat([padded(rows.real, (width - rows.real.shape[1], 0)) for rows in (first, second)])
    return Rows(first.replies + second.replies, torch.cat([first.ids, second.ids]), real, first.cache)


def _fitted(states: Tensor, width: int) -> Tensor:
    """States (B, H, T, D) of the last `width` tokens, with nothing before the first."""
    return padded(states, (0, 0, width - states.shape[2], 0))


def choose(logits: Tensor, replies: Sequence[Reply]) -> list[int]:
    """The next token of each answer: the likeliest, once what weighs its tokens has spoken."""
    if any(r.sessions for r in replies):
        logits = logits.clone()
        for row, reply in zip(logits, replies, strict=True):
            so_far = torch.tensor(reply.given, device=logits.device)
            for session in reply.sessions:
                row.copy_(session.logits(so_far, row))
    chosen: list[int] = likeliest(logits).tolist()
    return chosen


def decoded(encoder: Encoder, ids: Sequence[int]) -> str:
    """The text of an answer's tokens."""
    return str(encoder.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def over(encoder: Encoder, reply: Reply) -> bool:
    """Whether nothing follows: no room, nobody who waits, or the last token completed a text that ends the answer."""
    if reply.unwanted or reply.room <= 0:
        return True
    width = 4 * max(map(len, reply.until), default=0) + 1  # a character has at most four bytes, and so tokens
    return bool(reply.until) and any(text in decoded(encoder, reply.ids[-width:]) for text in reply.until)
