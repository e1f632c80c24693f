"""Going on from the middle of rows: what stands before a place in each row, and below a layer, is computed once.

A change of one hidden state moves nothing before it and nothing below it. So rows are run once to keep the keys and
values of what stands before that place, and the states that enter the first block above; each further pass runs the
tokens from that place on, through the blocks above alone.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache

from unteach.lm.anatomy import anatomy, blocks, trunk
from unteach.lm.batch import Row
from unteach.lm.lean import Instead, at_places, gelus, instead
from unteach.lm.model import LM
from unteach.lm.trace import Enter, entering
from unteach.schema import InputError

MANY = 16  # suffixes


@dataclass(frozen=True, eq=False)
class Suffixes:
    """B rows from one place in each on: S tokens at most, behind at most P that are known.

    `states` enter block `layer`; `kept` holds each block's keys and values of the known tokens; `seen` says which of
    the W = P + S positions a row has.
    """

    layer: int
    states: Float[Tensor, "B S D"]
    starts: Int[Tensor, " B"]
    seen: Bool[Tensor, "B W"]
    kept: Sequence[tuple[Tensor, Tensor]]

    def only(self, rows: Int[Tensor, " b"]) -> "Suffixes":
        """Some of the rows."""
        kept = [(k[rows], v[rows]) for k, v in self.kept]
        return replace(self, states=self.states[rows], starts=self.starts[rows], seen=self.seen[rows], kept=kept)


@torch.no_grad()
def suffixes(lm: LM, rows: Sequence[Row], starts: Sequence[int], layer: int) -> Suffixes:
    """Rows from `starts` on, from the block `layer` on; rows longer than a window of attention are refused."""
    longest_row = max(len(r.ids) for r in rows)
    if longest_row > (window := reach(lm)):
        raise InputError(f"a fact has {longest_row} tokens and the model attends to {window} at a time; shorten it")
    ids, real = _side_by_side([r.ids for r in rows], lm.pad, lm.device)
    cache: Any = DynamicCache()
    at = torch.arange(ids.shape[1], device=lm.device).expand_as(ids)
    entered: list[Tensor] = []

    def read(_module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        entered.append(args[0] if args else kwargs["hidden_states"])

    hook = blocks(lm.model)[layer].register_forward_pre_hook(read, with_kwargs=True)
    try:
        with instead(lm.model, _lean(lm, 0, ids.new_empty(0))):
            trunk(lm.model)(
                input_ids=ids, attention_mask=real.long(), position_ids=at, past_key_values=cache, use_cache=True
            )
    finally:
        hook.remove()
    begin = torch.tensor(starts, device=lm.device)
    most, longest = int(begin.max()), int((real.sum(1) - begin).max())
    behind = (begin[:, None] + torch.arange(longest, device=lm.device)).clamp_max(ids.shape[1] - 1)
    states = entered[0].gather(1, behind[..., None].expand(-1, -1, entered[0].shape[-1]))
    known = torch.arange(most, device=lm.device) < begin[:, None]
    alive = torch.arange(longest, device=lm.device) < (real.sum(1) - begin)[:, None]
    kept = [(part.keys[:, :, :most], part.values[:, :, :most]) for part in cache.layers]
    return Suffixes(layer, states, begin, torch.cat([known, alive], 1), kept)


class Onward:
    """The last hidden states at N places of suffixes, no two alike, given the states that enter the block.

    In the last block nothing reads the other places but attention, and what stands behind it runs at the N alone. The
    first pass goes through the model's own code, and notes what it gives to each block beside the states; the others
    call the blocks, which is half of what a short pass takes.
    """

    def __init__(self, lm: LM, rows: Suffixes, row: Int[Tensor, " N"], place: Int[Tensor, " N"]) -> None:
        self._lm, self._rows, self._row, self._place = lm, rows, row, place
        self._lean = _lean(lm, rows.layer, row * rows.states.shape[1] + place)
        self._norm = lm.model.get_submodule(anatomy(lm.model).norm)
        self._calls: list[tuple[nn.Module, tuple[Any, ...], dict[str, Any]]] = []
        self._cache: Any = None

    def __call__(self, states: Float[Tensor, "B S D"]) -> Float[Tensor, "N D"]:
        many = len(states) >= MANY
        with instead(self._lm.model, self._lean, plain=many):
            return self._again(states) if self._calls else self._first(states)

    def _again(self, states: Tensor) -> Tensor:
        cache = self._kept()
        for block, others, named in self._calls:
            given = [cache if value is self._cache else value for value in others]
            named = {name: cache if value is self._cache else value for name, value in named.items()}
            said = block(states, *given, **named)
            states = said[0] if isinstance(said, tuple) else said  # as GPT-J's blocks say it
        found: Tensor = self._norm(states[self._row, self._place])
        return found

    def _first(self, states: Tensor) -> Tensor:
        rows, self._cache = self._rows, self._kept()
        with ExitStack() as stack:
            for block in blocks(self._lm.model)[rows.layer :]:
                stack.callback(block.register_forward_pre_hook(self._note, with_kwargs=True).remove)
            stack.enter_context(entering(blocks(self._lm.model), Enter(rows.layer, states)))
            at = rows.starts[:, None] + torch.arange(states.shape[1], device=states.device)
            found: Tensor = trunk(self._lm.model)(
                inputs_embeds=states, attention_mask=self._mask(states), past_key_values=self._cache,
                position_ids=at.clamp_max(self._lm.max_length - 1), use_cache=bool(rows.kept),
            ).last_hidden_state  # fmt: skip
        return found[self._row, self._place]

    def _note(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """What a block is given; the states stand first, or under their name."""
        self._calls.append((block, args[1:], {k: v for k, v in kwargs.items() if k != "hidden_states"}))

    def _kept(self) -> Any:
        if not self._rows.kept:
            return None
        cache = DynamicCache()
        for n, (keys, values) in enumerate(self._rows.kept):
            cache.update(keys, values, n)
        return cache

    def _mask(self, states: Tensor) -> Tensor:
        """What each place may look back on, as a number that is added: 0, or the least there is."""
        width, known = states.shape[1], self._rows.seen.shape[1] - states.shape[1]
        causal = torch.ones(width, width, dtype=torch.bool, device=states.device).tril()
        behind = self._rows.seen[:, None, :known].expand(-1, width, -1)
        seen = torch.cat([behind, self._rows.seen[:, None, known:] & causal], 2)[:, None]
        mask = torch.zeros(seen.shape, dtype=states.dtype, device=states.device)
        return mask.masked_fill(~seen, torch.finfo(states.dtype).min)


def _lean(lm: LM, layer: int, places: Int[Tensor, " N"]) -> list[Instead]:
    """What from a block on does the same with less work: the last block's halves at N places, and GELU."""
    # Where the first block is the last, its halves may be tapped at places of their own.
    halves = at_places(lm.model, lm.layers - 1, places) if layer < lm.layers - 1 else []
    return [*halves, *gelus(lm.model, layer)]


def reach(lm: LM) -> int:
    """How many tokens attention looks back on in every block."""
    return int(getattr(lm.model.config, "sliding_window", None) or lm.max_length)


def _side_by_side(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    real = torch.arange(width) < torch.tensor([len(r) for r in rows])[:, None]
    return ids.to(device), real.to(device)
