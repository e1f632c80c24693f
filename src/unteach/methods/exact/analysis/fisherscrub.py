"""Scrubbing by noise, most of it where the rows to keep say little."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.patches import Put
from unteach.edit.plan import draw
from unteach.lm.model import LM
from unteach.measure.fisher import moments
from unteach.methods.exact.analysis.fisher import from_block, noise
from unteach.methods.exact.analysis.subspace import both, reach
from unteach.registry import method
from unteach.schema import EMPIRICAL, InputError, Need, Request


@method("fisherscrub", tested_by="test_fisherscrub_draws_noise_by_the_diagonal_of_the_fisher_matrix")
@dataclass(frozen=True)
class FisherScrub:
    """Normal noise on every matrix of the last blocks, of standard deviation sqrt(alpha / F), weight by weight.

    F is the diagonal of the empirical Fisher matrix of the retain rows: the mean square of a row's gradient, the loss
    being the mean over its answer tokens. No deviation is more than `most` times their median. `alpha` is as large as
    the retain rows bear: their mean loss rises by `slack`, or where that is not reached the median deviation is
    `median`. Golatkar et al. 2020, arXiv:1911.04933. Noise hides what the rows taught here to the degree that a
    quadratic model of the loss holds, which is not checked, and it looks at no forget row: what both sets need, both
    lose alike, so that forgetting costs much of what was to stay. Blocks from `layer` on (a share of the depth below
    1). Needs forget and retain rows.

    Example: ``FisherScrub(slack=0.2)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    layer: float = 0.5
    slack: float = 0.4
    most: float = 10.0
    median: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.slack > 0 and self.most >= 1 and self.median > 0):
            raise InputError("fisherscrub wants 'slack' and 'median' above 0, and 'most' from 1 on")

    def __call__(self, lm: LM, request: Request) -> Edit:
        both(request, "fisherscrub")
        weights = {n: lm.parameters()[n].detach() for n in from_block(lm, self.layer)}
        weights = {n: w for n, w in weights.items() if w.dim() == 2}
        found = deviations(moments(lm, request.retain, [*weights]).square, self.most)
        noises = {n: s * noise(s, draw(self.seed, "fisherscrub", n)) for n, s in found.items()}

        def moved(share: float) -> dict[str, Tensor]:
            return {n: (w + share * self.median * noises[n]).to(w.dtype) for n, w in weights.items()}

        share = reach(lm, request.retain, moved, self.slack)
        put = {n: (Put(w),) for n, w in moved(share).items()}
        made_by = f"{self}, a median deviation of {share * self.median:.3g}"
        return Edit(lm.digest(), put, made_by=made_by, guarantee=EMPIRICAL)


def deviations(fisher: dict[str, Float[Tensor, "R C"]], most: float) -> dict[str, Float[Tensor, "R C"]]:
    """1 / sqrt(F), in units of its median over all weights, and at most `most`."""
    found = {n: f.clamp_min(torch.finfo(f.dtype).tiny).rsqrt() for n, f in fisher.items()}
    middle = torch.cat([s.flatten().cpu() for s in found.values()]).median().to(next(iter(found.values())).device)
    return {n: (s / middle).clamp(max=most) for n, s in found.items()}
