"""AlphaEdit: facts written where text hardly looks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.patches import AddOuter
from unteach.lm.model import LM
from unteach.methods.facts.background import Background
from unteach.methods.facts.contexts import contexts, marked
from unteach.methods.facts.directions import unused
from unteach.methods.facts.layers import several
from unteach.methods.facts.solve import spread_aside
from unteach.methods.facts.values import Search, seek
from unteach.methods.facts.write import Keys, facts_of, in_turn, write
from unteach.registry import method
from unteach.schema import Fact, InputError, Need, Request

LENGTHS = (10,) * 5  # tokens of the contexts


@method("alphaedit", tested_by="test_alphaedit_leaves_the_directions_that_text_uses_as_they_are")
@dataclass(frozen=True)
class AlphaEdit:
    """MEMIT whose changes lie in the directions that keys of text hardly have.

        W + R K' P (K K' P + A A' P + ridge)^-1,   R = (z - h) / layers to go

    P projects on the directions in which the second moment C is below `threshold` (in units of the mean of its
    diagonal, or as it is with `absolute`, as published, which depends on the width of a model); A are the keys of facts
    written before in the same request, where `batch` facts are written at a time (0: all at once). `layers` as in `memit`.
    Fang et al. 2024, arXiv:2410.02355.

    Needs facts, and enough text that C is not singular for want of it.

    Example: ``AlphaEdit(layers="3-5")(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    layers: str = ""
    threshold: float = 0.05
    absolute: bool = False
    ridge: float = 1.0
    halves: bool = False
    batch: int = 0
    seed: int = 0
    search: Search = field(default_factory=Search)
    background: Background = field(default_factory=Background)
    forms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.ridge > 0 or not self.threshold > 0 or self.batch < 0:
            raise InputError("options 'ridge' and 'threshold' of alphaedit must be above 0, and 'batch' not below 0")

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts = facts_of(request, "alphaedit")
        chosen = several(lm, self.layers, facts)
        layers = chosen.layers
        forms = self.forms or contexts(lm, LENGTHS, seed=self.seed)
        null = {n: self._unused(c) for n, c in self.background.moments(lm, request, layers).of.items()}
        kept: dict[int, list[Tensor]] = {n: [] for n in layers}

        def right(layer: int, keys: Keys) -> Tensor:
            found = spread_aside(keys.mean, torch.cat([keys.mean[:0], *kept[layer]]), null[layer], self.ridge)
            kept[layer].append(keys.mean)
            return found

        def some(part: Sequence[Fact]) -> dict[str, AddOuter]:
            values = seek(lm, part, forms, [""], layers[-1], self.search).after[0]
            return write(lm, part, forms, values, "", layers, right, halves=self.halves)

        about = f"{chosen}, {self.threshold:g}, absolute={self.absolute}, ridge={self.ridge:g}, {self.search}"
        return in_turn(
            lm, _parts(facts, self.batch), some, f"alphaedit({about}, halves={self.halves}, {marked(forms)})"
        )

    def _unused(self, moment: Tensor) -> Tensor:
        unit = 1.0 if self.absolute else float(moment.diagonal().mean())
        return unused(moment, self.threshold * unit)


def _parts(facts: Sequence[Fact], size: int) -> list[Sequence[Fact]]:
    return [facts[i : i + size] for i in range(0, len(facts), size)] if size else [facts]
