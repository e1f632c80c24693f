"""A second model beside the first: opened once, and reading along in one conversation."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import InputError

OPEN = 4  # models kept open


@lru_cache(maxsize=OPEN)
def opened(folder: str, digest: str = "") -> LM:
    """The model in a folder; another one than the edit was made with is refused."""
    found = load(folder)
    if digest and found.digest() != digest:
        raise InputError(f"{folder}: not the model that the edit was made with; put that one there")
    return found


def alike(lm: LM, other: LM, folder: str) -> LM:
    """The other model, which is refused where it reads other tokens than the first, or fewer."""
    if other.tokenizer.get_vocab() != lm.tokenizer.get_vocab() or other.max_length < lm.max_length:
        raise InputError(
            f"{folder}: has another tokenizer than the model, or reads fewer tokens; name a model of the same family"
        )
    return other


@dataclass
class Beside:
    """A model that reads along in one conversation, with a cache of its own."""

    lm: LM
    cache: DynamicCache | None = None
    read: Int[Tensor, " t"] | None = None

    @torch.no_grad()
    def after(self, ids: Int[Tensor, " T"]) -> Float[Tensor, " V"]:
        """Next-token logits; where the ids go on from those of the last call, only the new ones are read."""
        if self.cache is None or self.read is None or not _goes_on(self.read, ids):
            self.cache, self.read = DynamicCache(config=self.lm.model.config), ids[:0]
        new = ids[None, len(self.read) :].to(self.lm.device)
        said: Tensor = self.lm.model(input_ids=new, past_key_values=self.cache, use_cache=True).logits[0, -1]
        self.read = ids
        return said

    def forget(self) -> None:
        """Begin anew."""
        self.cache = self.read = None


def _goes_on(read: Tensor, ids: Tensor) -> bool:
    return len(ids) > len(read) and torch.equal(ids[: len(read)], read)
