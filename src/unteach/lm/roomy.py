"""A cache of keys and values with room behind them, so that a token more is written there and nothing else is copied."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

LEAST = 32  # places of room


class Roomy(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, (B, H, T, E) each: the first rows and places of tensors that have more."""

    def __init__(self) -> None:
        super().__init__()
        self._rooms: dict[str, Tensor] = {}

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write down what was read now; all that was read up to now."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self.values = self._longer("keys", key_states), self._longer("values", value_states)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows; those that come to stand where they stood are not touched."""
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero()[:, 0]
        for name in ("keys", "values"):
            held: Tensor = getattr(self, name)
            held[moved] = held[indices[moved]]
            setattr(self, name, held[: len(indices)])

    def _longer(self, name: str, new: Float[Tensor, "B H t E"]) -> Float[Tensor, "B H T E"]:
        held: Tensor = getattr(self, name)
        before = held.shape[2] if held.numel() else 0
        whole, room = before + new.shape[2], self._rooms.get(name)
        if room is None or held.data_ptr() != room.data_ptr() or room.shape[2] < whole:
            room = self._rooms[name] = new.new_empty(*new.shape[:2], whole + max(LEAST, whole // 4), new.shape[3])
            if before:
                room[:, :, :before] = held
        room[: len(new), :, before:whole] = new
        return room[: len(new), :, :whole]


def roomy(config: Any) -> DynamicCache:
    """An empty cache for a model; its layers that keep only some of what they read are its own."""
    cache = DynamicCache(config=config)
    cache.layers = [Roomy() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def closed(stay: Sequence[bool]) -> list[int]:
    """Which rows stand where, once those that do not stay are gone: the last ones fill the gaps."""
    count = sum(stay)
    movers = (k for k in range(count, len(stay)) if stay[k])
    return [k if stay[k] else next(movers) for k in range(count)]
