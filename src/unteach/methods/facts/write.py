"""New values written into the last linear maps of some layers' MLPs, one layer after another.

At each layer the keys are read with the layers below changed already, and so is what is still missing of the values;
the layer is given its part of that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.data.contradictions import refuse_contradictions
from unteach.edit.edit import Edit
from unteach.edit.patches import AddOuter
from unteach.lm.anatomy import anatomy, stored_in_out
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.methods.facts.keys import keys_at, states_at
from unteach.methods.facts.spot import asking, spot
from unteach.schema import Fact, InputError, Request


@dataclass(frozen=True, eq=False)
class Keys:
    """The keys (E, D) of facts at one layer: behind all contexts, and bare."""

    mean: Float[Tensor, "E D"]
    bare: Float[Tensor, "E D"]


Part = TypeVar("Part")
Right = Callable[[int, Keys], Float[Tensor, "E D"]]  # what stands on the right of a layer's change


def write(
    lm: LM, facts: Sequence[Fact], contexts: Sequence[str], values: Float[Tensor, "E H"], site: str,
    layers: Sequence[int], right: Right, *, part: Callable[[int], float] = float, halves: bool = False,
) -> dict[str, AddOuter]:  # fmt: skip
    """The patch of each layer's weight; `site` is where (at the last layer) the values should then stand.

    A layer with `n` layers to go, itself included, is given 1 / part(n) of what is missing. With `halves` the bare key
    counts as much as all others together.
    """
    bare = [spot(lm, fact.prompt, fact.subject) for fact in facts]
    behind = [s for fact in facts for s in asking(lm, fact, contexts)]
    path = f"{anatomy(lm.model).blocks}.{layers[-1]}.{site}".rstrip(".")
    parameters, patches, changed = lm.parameters(), dict[str, AddOuter](), dict[str, Tensor]()
    for n, layer in enumerate(layers):
        name = f"{mlp_out(lm, layer)}.weight"
        keys = keys_at(lm, behind, mlp_out(lm, layer), changed).view(len(facts), len(contexts), -1)
        missing = values - states_at(lm, bare, path, changed)
        weights = _weights(len(contexts), halves).to(keys)
        found = right(layer, Keys((keys * weights[:, None]).sum(1), keys[:, 0]))
        left = missing.to(found) / part(len(layers) - n)
        patches[name] = _outer(left, found, stored_in_out(lm.model.get_submodule(mlp_out(lm, layer))))
        changed[name] = patches[name](parameters[name].detach())
    return patches


def _weights(contexts: int, halves: bool) -> Float[Tensor, " C"]:
    if halves and contexts > 1:
        return torch.tensor([0.5, *[0.5 / (contexts - 1)] * (contexts - 1)])
    return torch.full((contexts,), 1 / contexts)


def _outer(left: Float[Tensor, "E H"], right: Float[Tensor, "E D"], in_out: bool) -> AddOuter:
    first, second = (right, left) if in_out else (left, right)
    return AddOuter(first.T.float().contiguous(), second.float().contiguous())


def written(lm: LM, patches: dict[str, AddOuter], made_by: str) -> Edit:
    """The patches as an edit of the model as it is worn now."""
    return Edit(base=lm.digest(), weights={name: (patch,) for name, patch in patches.items()}, made_by=made_by)


def in_turn(lm: LM, parts: Sequence[Part], one: Callable[[Part], dict[str, AddOuter]], made_by: str) -> Edit:
    """One edit a part of the facts, each made on the model that wears those before it."""
    whole = written(lm, one(parts[0]), made_by)
    for part in parts[1:]:
        with whole.on(lm):
            later = written(lm, one(part), made_by)
        whole = whole.then(later)
    return whole


def facts_of(request: Request, name: str) -> Sequence[Fact]:
    """The facts of a request; one without any, or with two that contradict each other, is refused."""
    if not request.facts:
        raise InputError(f"method '{name}' corrects facts and there are none; give --facts FILE")
    refuse_contradictions(request.facts)
    return request.facts
