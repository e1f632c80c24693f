"""Most weights are cut to zero, and the rest learns to keep."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.patches import Scale
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.neurons.asked import kept
from unteach.methods.neurons.healing import PLAN, healed
from unteach.methods.neurons.weights import maps, whole
from unteach.registry import method
from unteach.schema import InputError, Need, Request


@method("prunefinetune", tested_by="test_prunefinetune_cuts_the_smallest_weights_and_learns_to_keep")
@dataclass(frozen=True)
class PruneFinetune:
    """The smallest weights of every linear map are set to 0, then the model is trained on the rows to keep alone.

        W = W * [|W| is not among the smallest `share` of its map];  minimise  mean over tokens to retain of  -log p

    The recipe of an entry to the unlearning challenge of 2023, of which Triantafillou et al. 2024, arXiv:2406.09073,
    report; after its short description, without the term for the entropy of the outputs that the entry adds. Pruned are
    the linear maps of the blocks, each by itself; embeddings, norms and biases stay. What was cut is trained as the
    rest is, so the result is not sparse. A plan for an adapter trains all weights.

    Needs retain rows, on which it trains, and forget rows, at which it only looks: the history tells of them, and those
    that are also among the former are refused. `plan.stop_forget` ends nothing. With 99 % gone a model knows
    little beyond what the retain rows teach: it takes rows enough to learn the language again.

    Example: ``PruneFinetune(share=0.9)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    makes_adapter: ClassVar[bool] = False
    share: float = 0.99
    plan: Plan = field(default_factory=lambda: PLAN)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError("option 'share' of prunefinetune is a share of weights; choose it above 0 and at most 1")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "prunefinetune", "forget")
        kept(lm, request, "prunefinetune")
        found = lm.parameters()
        cuts = {name: (Scale(largest(found[name].detach(), self.share)),) for name in maps(lm)}
        act = Edit(base=lm.digest(), weights=cuts, made_by=f"prunefinetune(share={self.share:g})")
        return healed(lm, act, request, whole(self.plan))


def largest(weight: Float[Tensor, "R C"], share: float) -> Bool[Tensor, "R C"]:
    """True at all but the smallest `share` of a matrix by magnitude."""
    staying = weight.numel() - round(share * weight.numel())
    mask = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
    mask[weight.abs().flatten().argsort(descending=True, stable=True)[:staying]] = True
    return mask.view_as(weight)
