"""MEMIT: many facts at once, spread over several layers."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from unteach.edit.edit import Edit
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


@method("memit", tested_by="test_memit_writes_many_facts_at_once_and_equals_the_dense_solution")
@dataclass(frozen=True)
class MEMIT:
    """The states that should stand behind a range of layers are sought, and each layer writes its part of what is missing.

        W + R K' (lambda C + K K')^-1,   R = (z - h) / layers to go

    z is the state of the last of `layers` at the subject's last token that makes the model say the new answer, sought
    for all facts side by side; K holds a key a fact; C is the second moment of keys over text. `weight` is lambda, in
    units of the keys' width: what text has to say counts like so many facts for each direction (the published settings
    are about 1 to 3 for the models they were made for). Meng et al. 2023, arXiv:2210.07229. `halves` gives the bare
    prompt as much weight as all contexts together, as EasyEdit does. `layers` "auto" ends at the layer whose MLP carries
    most of the facts, by causal tracing (`unteach trace-effect`), for which facts need their `ground_truth`.

    Needs facts. With many facts the weights' norm grows and old abilities fade; the report shows both.

    Example: ``MEMIT(layers="3-5")(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    layers: str = ""
    weight: float = 0.2
    halves: bool = False
    seed: int = 0
    search: Search = field(default_factory=Search)
    background: Background = field(default_factory=Background)
    forms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise InputError(
                "option 'weight' of memit must be above 0; without text's keys the facts overwrite all others"
            )

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts = facts_of(request, "memit")
        chosen = several(lm, self.layers, facts)
        layers = chosen.layers
        forms = self.forms or contexts(lm, LENGTHS, seed=self.seed)
        moments = self.background.moments(lm, request, layers)

        def right(layer: int, keys: Keys) -> Tensor:
            return spread_evenly(keys.mean, moments.factor(layer), self.weight * keys.mean.shape[1])

        values = seek(lm, facts, forms, [""], layers[-1], self.search).after[0]
        patches = write(lm, facts, forms, values, "", layers, right, halves=self.halves)
        about = f"{chosen}, weight={self.weight:g}, {self.search}, halves={self.halves}, {marked(forms)}"
        return written(lm, patches, f"memit({about})")
