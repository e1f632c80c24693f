"""Weights that the rows to forget and the rows to keep pull alike are started anew."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.patches import Put
from unteach.edit.plan import Plan
from unteach.lm.batch import collate
from unteach.lm.model import LM
from unteach.measure.answers import in_order
from unteach.methods.neurons.asked import kept
from unteach.methods.neurons.healing import PLAN, healed
from unteach.methods.neurons.weights import maps, started, whole
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request

AT_ONCE = 1024  # positions in one backward pass


@method("resetweights", tested_by="test_resetweights_starts_anew_where_the_two_gradients_are_most_alike")
@dataclass(frozen=True)
class ResetWeights:
    """Weights whose forget and retain gradients are most alike are drawn anew; then the rows to keep are learnt.

        d = |g_forget - g_retain|,  g = gradient of  mean over answer tokens of  -log p(token)
        W = a new draw where d is among the smallest `share` of its map;  minimise  mean over tokens to retain of  -log p

    The recipe of an entry to the unlearning challenge of 2023, of which Triantafillou et al. 2024, arXiv:2406.09073,
    report; after its short description. Chosen here: similarity is the difference of the two gradients, each linear map
    of the blocks is taken by itself, embeddings, norms and biases stay, and all weights are trained afterwards at one
    rate. Matrices are drawn from the normal distribution of the model's own `initializer_range`. A plan for an
    adapter trains all weights.

    Needs forget and retain rows; `plan.stop_forget` ends nothing. A weight that neither set moves counts as alike, so knowledge that
    no row asks for is what goes first; what the forget rows alone moved stays for the training to overwrite.

    Example: ``ResetWeights(share=0.3)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    makes_adapter: ClassVar[bool] = False
    share: float = 0.3
    seed: int = 0
    plan: Plan = field(default_factory=lambda: PLAN)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError("option 'share' of resetweights is a share of weights; choose it above 0 and at most 1")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "resetweights", "forget")
        rows, names = kept(lm, request, "resetweights"), maps(lm)
        with lm.lock:
            pairs = zip(slopes(lm, request.forget, names), slopes(lm, rows, names), strict=True)
        masks = [alike(forget, retain, self.share) for forget, retain in pairs]
        new, found = started(lm, names, self.seed), lm.parameters()
        reset = {n: (Put(torch.where(m, new[n], found[n].detach())),) for n, m in zip(names, masks, strict=True)}
        act = Edit(base=lm.digest(), weights=reset, made_by=f"resetweights(share={self.share:g}, seed={self.seed})")
        return healed(lm, act, request, whole(self.plan))


def slopes(lm: LM, records: Sequence[Record], names: Sequence[str]) -> list[Tensor]:
    """The gradient of the mean of -log p over all answer tokens, weight by weight."""
    weights = {name: lm.parameters()[name].detach().requires_grad_() for name in names}
    rows = [lm.encoder.row(r) for r in records]
    total, count = [torch.zeros_like(w) for w in weights.values()], 0
    for part in in_order(lm, rows, AT_ONCE):
        batch = collate([rows[i] for i in part], [""] * len(part), pad=lm.pad, device=lm.device)
        with torch.enable_grad():
            loss = cross_entropy(lm.logits(batch, weights).float(), batch.targets, reduction="sum")
            found = torch.autograd.grad(loss, list(weights.values()))
        total, count = [t + g for t, g in zip(total, found, strict=True)], count + len(batch.targets)
    return [t / max(count, 1) for t in total]


def alike(forget: Float[Tensor, "R C"], retain: Float[Tensor, "R C"], share: float) -> Bool[Tensor, "R C"]:
    """True at the `share` of a matrix where two gradients differ least."""
    apart = (forget - retain).abs().flatten()
    mask = torch.zeros_like(apart, dtype=torch.bool)
    mask[apart.argsort(stable=True)[: round(share * len(apart))]] = True
    return mask.view_as(forget)
