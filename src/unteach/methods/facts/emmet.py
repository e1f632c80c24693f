"""EMMET: many facts at once, met exactly."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.methods.facts.background import Background
from unteach.methods.facts.contexts import contexts, marked
from unteach.methods.facts.layers import several
from unteach.methods.facts.solve import spread_exactly
from unteach.methods.facts.values import Search, seek
from unteach.methods.facts.write import Keys, facts_of, write, written
from unteach.registry import method
from unteach.schema import InputError, Need, Request

LENGTHS = (10,) * 5  # tokens of the contexts


@method("emmet", tested_by="test_emmet_meets_its_values_and_with_one_fact_is_rome")
@dataclass(frozen=True)
class EMMET:
    """The new values hold at the new keys; of all changes that do so, the one that moves other keys least.

        W + R (K' C^-1 K + ridge)^-1 K' C^-1,   R = (z - h) / layers to go

    ROME for many facts at once: equality where `memit` weighs old keys against new ones. `ridge` keeps keys that are
    nearly alike apart. Gupta et al. 2024, arXiv:2403.14236. One layer by default, as published, and
    with "auto"; otherwise as `memit`.

    Needs facts. Hundreds of facts in one layer move it far.

    Example: ``EMMET(layers="5")(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    layers: str = ""
    ridge: float = 0.1
    halves: bool = False
    seed: int = 0
    search: Search = field(default_factory=Search)
    background: Background = field(default_factory=Background)
    forms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.ridge > 0:
            raise InputError("option 'ridge' of emmet must be above 0; keys that are alike could not be told apart")

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts = facts_of(request, "emmet")
        chosen = several(lm, self.layers, facts, alone=True)
        layers = chosen.layers
        forms = self.forms or contexts(lm, LENGTHS, seed=self.seed)
        moments = self.background.moments(lm, request, layers)

        def right(layer: int, keys: Keys) -> Tensor:
            return spread_exactly(keys.mean, moments.factor(layer), self.ridge)

        values = seek(lm, facts, forms, [""], layers[-1], self.search).after[0]
        patches = write(lm, facts, forms, values, "", layers, right, halves=self.halves)
        about = f"{chosen}, ridge={self.ridge:g}, {self.search}, halves={self.halves}, {marked(forms)}"
        return written(lm, patches, f"emmet({about})")
