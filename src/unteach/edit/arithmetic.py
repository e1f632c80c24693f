"""Arithmetic of edits made on one model: weighted sums, and one edit made of several by a rule.

Changes are added up in float64 and the weights rounded once. So one edit alone comes out as it is, and a weight entry
that nothing changes stays bit for bit. A negation is `Edit.scaled(-1)`.
"""

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.merging import Delta, Rule, summed
from unteach.edit.patches import AddOuter, Patch, Put, split, through
from unteach.lm.model import LM
from unteach.schema import EMPIRICAL, Guarantee, InputError


def merged(edits: Sequence[Edit], lm: LM, rule: Rule, *, alpha: float = 1.0, made_by: str = "") -> Edit:
    """W + alpha * rule(changes of W by each edit).

    The changes are multiplied out: 8 bytes for each weight that an edit touches. It claims no more than `empirical`,
    whatever the edits claim.
    """
    _check(edits, lm)
    delta = rule([_delta(edit, lm) for edit in _in_order(edits)])
    weights = {name: (_moved(lm, name, alpha * change),) for name, change in delta.items()}
    return _edit(edits, weights, made_by)


def weighted(edits: Sequence[Edit], by: Sequence[float], lm: LM, *, made_by: str = "") -> Edit:
    """W + the sum of by[i] * (the change of W by edit i).

    Where all changes of a weight are low-rank, so is their sum, of all their ranks together: never the product of a
    mean of left factors and a mean of right ones, which is another change. An edit that counts 0 is left out.
    """
    _check(edits, lm)
    terms = [(edit, b) for edit, b in zip(edits, by, strict=True) if b]
    ordered = sorted(terms, key=lambda term: (term[0].digest(), term[1]))
    weights: dict[str, tuple[Patch, ...]] = {}
    for name in sorted({name for edit, _ in ordered for name in edit.weights}):
        chains = [(edit.weights[name], b) for edit, b in ordered if name in edit.weights]
        if any(split(chain)[0] for chain, _ in chains):
            whole = summed(torch.stack([b * _change(lm, name, chain) for chain, b in chains]))
            weights[name] = (_moved(lm, name, whole),)
        else:
            weights[name] = (_side_by_side(chains),)
    return _edit(edits, weights, made_by)


def _check(edits: Sequence[Edit], lm: LM) -> None:
    if not edits:
        raise InputError("there are no edits to merge; give at least one")
    if len({edit.base for edit in edits}) > 1:
        raise InputError("edits made on different models cannot be merged; make all of them on one model")
    if any(edit.activations or edit.guards for edit in edits):
        raise InputError(
            "only changes of weights can be merged; one of these edits also changes activations or conversation"
        )
    edits[0].check_base(lm)


def _in_order(edits: Sequence[Edit]) -> list[Edit]:
    return sorted(edits, key=Edit.digest)


def _edit(edits: Sequence[Edit], weights: Mapping[str, tuple[Patch, ...]], made_by: str) -> Edit:
    # What an edit was promised to be holds for it alone.
    guarantee = reduce(Guarantee.weakest, (edit.guarantee for edit in _in_order(edits)), EMPIRICAL)
    makers = made_by or " & ".join(edit.made_by for edit in _in_order(edits))
    return Edit(base=edits[0].base, weights=weights, made_by=makers, guarantee=guarantee)


def _delta(edit: Edit, lm: LM) -> Delta:
    return {name: _change(lm, name, chain) for name, chain in edit.weights.items()}


def _change(lm: LM, name: str, chain: Sequence[Patch]) -> Tensor:
    """The change of a weight in float64, where the difference of two numbers of a narrower type is exact."""
    weight = lm.parameters()[name].detach()
    if not weight.is_floating_point() or weight.is_meta:
        raise InputError(f"weight '{name}' is quantised or not in memory; only low-rank edits can be added up over it")
    whole = weight.cpu().double()
    return through(chain, whole) - whole


def _moved(lm: LM, name: str, change: Tensor) -> Put:
    weight = lm.parameters()[name].detach().cpu()
    value = (weight.double() + change.cpu()).to(weight.dtype)
    return Put(value.where(change.cpu() != 0, weight))  # -0 + 0 would be 0


def _side_by_side(chains: Sequence[tuple[Sequence[Patch], float]]) -> AddOuter:
    """One low-rank term that is the sum of several."""
    terms = [(p, by * p.scale) for chain, by in chains for p in chain if isinstance(p, AddOuter)]
    if len(terms) == 1:
        return AddOuter(terms[0][0].left, terms[0][0].right, terms[0][1])
    device = terms[0][0].left.device
    left = torch.cat([scale * term.left.to(device) for term, scale in terms], 1)
    return AddOuter(left, torch.cat([term.right.to(device) for term, _ in terms], 0))
