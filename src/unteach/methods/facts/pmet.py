"""PMET: what attention adds is sought too, and left where it is."""

from dataclasses import dataclass, field
from math import sqrt
from typing import ClassVar

from torch import Tensor

from unteach.edit.edit import Edit
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM
from unteach.methods.facts.background import Background
from unteach.methods.facts.contexts import contexts, marked
from unteach.methods.facts.layers import several
from unteach.methods.facts.solve import spread_evenly
from unteach.methods.facts.values import Search, seek
from unteach.methods.facts.write import Keys, facts_of, write, written
from unteach.registry import method
from unteach.schema import InputError, Need, Request

LENGTHS = (10,) * 5  # tokens of the contexts


@method("pmet", tested_by="test_pmet_moves_the_mlp_alone_by_the_root_of_the_layers_to_go")
@dataclass(frozen=True)
class PMET:
    """MEMIT with two changes sought side by side, at the outputs of attention and of the MLP; only the MLP is written.

        W + R K' (lambda C + K K')^-1,   R = (z - m) / sqrt(layers to go)

    z is the output of the MLP of the last of `layers` as sought, m as it stands: attention gathers what the MLP need not
    store, so its change is left out. Where the new answer is the likeliest in every context its loss counts a tenth, and
    the search ends where the KL term is small. Li et al. 2024, arXiv:2308.08742. `layers`, `weight` and `halves`
    as in `memit`.

    Needs facts.

    Example: ``PMET(layers="3-5")(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    layers: str = ""
    weight: float = 0.2
    halves: bool = False
    seed: int = 0
    search: Search = field(default_factory=lambda: Search(weaker=0.01))
    background: Background = field(default_factory=Background)
    forms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise InputError(
                "option 'weight' of pmet must be above 0; without text's keys the facts overwrite all others"
            )

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts = facts_of(request, "pmet")
        chosen = several(lm, self.layers, facts)
        layers = chosen.layers
        forms = self.forms or contexts(lm, LENGTHS, seed=self.seed)
        moments = self.background.moments(lm, request, layers)

        def right(layer: int, keys: Keys) -> Tensor:
            return spread_evenly(keys.mean, moments.factor(layer), self.weight * keys.mean.shape[1])

        where = anatomy(lm.model)
        values = seek(lm, facts, forms, [where.mlp_out, where.attn_out], layers[-1], self.search).after[0]
        patches = write(lm, facts, forms, values, where.mlp_out, layers, right, part=sqrt, halves=self.halves)
        about = f"{chosen}, weight={self.weight:g}, {self.search}, halves={self.halves}, {marked(forms)}"
        return written(lm, patches, f"pmet({about})")
