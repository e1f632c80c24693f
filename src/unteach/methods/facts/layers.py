"""Which layers a method writes into."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from unteach.lm.model import LM
from unteach.methods.facts.effect import Tracing, known, traced
from unteach.schema import Fact, InputError

BEGIN, END = 0.12, 0.29  # of the depth: layers 4 to 8 of 32, as published for models of that depth
AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True)
class Chosen:
    """Layers in rising order, and what led to them where they were not given."""

    layers: tuple[int, ...]
    why: str = ""

    def __str__(self) -> str:
        return f"{list(self.layers)}{self.why}"


def single(lm: LM, layer: float | Literal["auto"], facts: Sequence[Fact]) -> Chosen:
    """One layer: its number, a share of the depth, or with "auto" the one whose MLP carries the facts best."""
    return _traced(lm, facts) if layer == AUTO else Chosen((lm.layer(layer),))


def several(lm: LM, layers: str, facts: Sequence[Fact], *, alone: bool = False) -> Chosen:
    """Numbers from 0 with commas between, or a range such as "3-7"; none: about an eighth to a quarter of the depth.

    With "auto" it is as many layers as with none, up to the one whose MLP carries the facts best. Where they are not
    given, `alone` takes the last of them.
    """
    if layers not in ("", AUTO):
        return Chosen(tuple(_given(lm, layers)))
    usual, found = _usual(lm), _traced(lm, facts) if layers == AUTO else None
    last = found.layers[0] if found else usual[-1]
    first = last if alone else max(last - len(usual) + 1, 0)
    return Chosen(tuple(range(first, last + 1)), found.why if found else "")


def _usual(lm: LM) -> range:
    last = max(min(int(END * lm.layers) or 1, lm.layers - 2), 0)
    return range(min(int(BEGIN * lm.layers), last), last + 1)


def _given(lm: LM, layers: str) -> list[int]:
    found: list[int] = []
    for word in layers.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", word)
        if match is None:
            raise InputError(
                "layers are whole numbers with commas between, or a range; for example 3,4,5 or 3-5, or auto"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, last + 1)
    if not found or found != sorted(set(found)):
        raise InputError("layers must be in rising order, each once; for example 3,4,5")
    return [lm.layer(float(n)) if n else 0 for n in found]


def _traced(lm: LM, facts: Sequence[Fact]) -> Chosen:
    """The layer whose MLP restores most of the answers at their subjects' last tokens; nothing reads what the last
    layer puts out there, so it is left out.
    """
    told = known(lm, facts)
    if not told:
        raise InputError(
            "layers are found by tracing facts that the model knows, and it knows none; give their ground_truth, or layers"
        )
    found = list(traced(lm, told, Tracing(), ("mlp",), alone=True))
    effects = torch.stack([one.effects[0, 0] for one in found]).mean(0)[: max(lm.layers - 1, 1)]
    best, whole = int(effects.argmax()), sum(one.before - one.disturbed for one in found) / len(found)
    why = f" traced: effect {effects[best]:.3f} of {whole:.3f} at {best}, {len(told)} of {len(facts)} facts known"
    return Chosen((best,), why)
