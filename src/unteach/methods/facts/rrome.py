"""R-ROME: ROME with one key throughout."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.methods.facts.background import Background
from unteach.methods.facts.rome import ROME, ranked_one
from unteach.methods.facts.values import Search
from unteach.registry import method
from unteach.schema import Need, Request


@method("rrome", tested_by="test_rrome_meets_the_value_at_the_mean_key")
@dataclass(frozen=True)
class RROME:
    """ROME with the mean of the keys behind contexts in every place:

        W + delta (C^-1 k)' / (k' C^-1 k)

    ROME itself divides by the key behind no context; where the two keys differ much, one edit can break the model.

    Gupta et al. 2024, arXiv:2403.07175. Everything else is as in `rome`, and so are its limits. Needs facts.

    Example: ``RROME(layer=5)(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    layer: float | Literal["auto"] = 0.17
    whitened: bool = True
    seed: int = 0
    search: Search = field(default_factory=Search)
    background: Background = field(default_factory=Background)
    forms: tuple[str, ...] = ()

    def __call__(self, lm: LM, request: Request) -> Edit:
        how = ROME(self.layer, self.whitened, self.seed, self.search, self.background, self.forms)
        return ranked_one(how, lm, request, "rrome", lambda keys: keys.mean)
