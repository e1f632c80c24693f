"""Beginnings that a fact is put behind, so that it holds wherever it is asked; written by the model itself."""

from collections.abc import Sequence
from hashlib import sha256

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from unteach.edit.plan import draw
from unteach.lm.model import LM

BARE = "{}"  # the fact alone
STARTS = ("The", "Therefore", "Because", "I", "You")
LIKELIEST = 5  # of so many next tokens one is drawn


def contexts(lm: LM, lengths: Sequence[int], *, seed: int = 0) -> tuple[str, ...]:
    """The bare fact, and for each length one beginning of so many tokens; starts take turns.

    Each follows from the model and the seed alone.
    """
    return (BARE, *map(_form, _written(lm, lengths, seed, "context")))


def written(lm: LM, count: int, *, length: int = 48, seed: int = 0) -> tuple[str, ...]:
    """Texts that the model writes itself, each from one of the usual starts."""
    return tuple(_written(lm, [length] * count, seed, "text"))


def marked(forms: Sequence[str]) -> str:
    """A mark of contexts, for the record of an edit: they may say what a model knows."""
    return f"contexts {sha256(chr(30).join(forms).encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _form(text: str) -> str:
    return f"{' '.join(text.replace('{', ' ').replace('}', ' ').split())}. {BARE}"


def _written(lm: LM, lengths: Sequence[int], seed: int, purpose: str) -> list[str]:
    found: dict[int, str] = {}
    for first, start in enumerate(STARTS):
        numbers = range(first, len(lengths), len(STARTS))
        if numbers:
            chance = torch.stack([_chance(max(lengths), purpose, n, seed) for n in numbers])
            ids = _continued(lm, list(lm.tokenizer(start)["input_ids"]), chance)
            for n, row in zip(numbers, ids.tolist(), strict=True):
                found[n] = start + str(lm.tokenizer.decode(row[: lengths[n]], skip_special_tokens=True))
    return [found[n] for n in range(len(lengths))]


def _chance(length: int, purpose: str, number: int, seed: int) -> Float[Tensor, " T"]:
    return torch.rand(length, generator=torch.Generator().manual_seed(draw(purpose, number, seed) % 2**63))


@torch.no_grad()
def _continued(lm: LM, start: Sequence[int], chance: Float[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """What each row goes on with: at each step one of the likeliest tokens, by its number between 0 and 1."""
    now = torch.tensor([start] * len(chance), device=lm.device)
    cache, found = DynamicCache(), []
    for luck in chance.T:
        logits = lm.model(input_ids=now, past_key_values=cache, use_cache=True).logits[:, -1].float().cpu()
        best = logits.topk(min(LIKELIEST, logits.shape[1]))
        reached = best.values.softmax(-1).cumsum(-1) >= luck[:, None]
        now = best.indices.gather(1, reached.int().argmax(1, keepdim=True)).to(lm.device)
        found.append(now)
    return torch.cat(found, 1)
