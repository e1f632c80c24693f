"""WISE: a side memory beside one linear map, and a router that sends it the questions it was made for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from unteach.data.facts import question
from unteach.edit.edit import Edit
from unteach.edit.memories import SideMemory
from unteach.edit.plan import draw
from unteach.lm.batch import Row
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.methods.facts.contexts import contexts, marked
from unteach.methods.facts.lessons import row
from unteach.methods.facts.side import Margin, asked, threshold, ties, trained
from unteach.methods.facts.spot import ESSENCE
from unteach.methods.facts.write import facts_of
from unteach.registry import method
from unteach.schema import InputError, Need, Request

LENGTHS = (5,) * 5 + (10,) * 5  # tokens of the contexts
ROWS = 256  # rows to keep that the router is shown


@method("wise", tested_by="test_wise_sends_its_questions_to_the_side_memory_and_spares_those_beside")
@dataclass(frozen=True)
class WISE:
    """No weight is changed: questions that move a side memory far enough are answered with it, others without it.

    Beside the last linear map W of the MLP of block `layer` (below 1: that share of the depth) stand changes D of W.
    A question's tokens x, as they enter W, decide once whether they meet W or W + D:

        W + D  if mean |x D| > threshold,  else W

    Facts are dealt to `shards`; the change of each shard is trained where its random mask, a share `density` of the
    weights, allows it, on

        mean over contexts of -log p(new answer) / its tokens  +  margin

    where the margin keeps the moves of facts' questions and of others apart. With `merge` the shards become one
    change by TIES; otherwise each keeps its own, and a question meets the one that it moves most. Others are the
    questions beside the facts, the rows to keep, and what the model says of its subjects and by itself. Wang et al.
    2024, arXiv:2405.14768. There every token of an answer is routed anew, the margin is in the units of one model, and
    the threshold a share of the least move in training; here the memory is read by the question's tokens only, the
    margin is relative to what W puts out, and the threshold lies half-way between the least move of a fact's question
    and the greatest one of the others below it.

    Needs facts. What is not guaranteed: the weights still know the old answers, which any wording that the router
    does not know brings out, as does whoever takes the memory off. Questions like the facts' may meet the memory too,
    above all where no questions beside the facts and no rows to keep were given, and so may text that is unlike all that
    the router was shown.

    Example: ``WISE(layer=0.5, shards=2)(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    guarantee: ClassVar[str] = "suppression"
    layer: float = 0.5
    shards: int = 2
    density: float = 0.2
    merge: bool = True
    steps: int = 60
    rate: float = 0.01
    seed: int = 0
    margin: Margin = field(default_factory=Margin)
    forms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.shards < 1 or self.steps < 1 or not self.rate > 0 or not 0 < self.density <= 1:
            raise InputError(
                "wise needs at least one shard and one step, a rate above 0, and a density above 0 and at most 1"
            )

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts, path = facts_of(request, "wise"), mlp_out(lm, lm.layer(self.layer))
        forms = self.forms or contexts(lm, LENGTHS, seed=self.seed)
        parts = [facts[n :: self.shards] for n in range(min(self.shards, len(facts)))]
        shown = [
            [row(lm, f.replace("{}", question(fact), 1), fact.target_new) for fact in p for f in forms] for p in parts
        ]
        memory = self._memory(lm, path, shown, spared(lm, request, forms))
        about = f"layer={lm.layer(self.layer)}, shards={self.shards}, density={self.density:g}, merge={self.merge}, "
        about += f"steps={self.steps}, rate={self.rate:g}, seed={self.seed}, {self.margin}, {marked(forms)}"
        return Edit(base=lm.digest(), activations={path: (memory,)}, made_by=f"wise({about})")

    def _memory(self, lm: LM, path: str, shown: Sequence[Sequence[Row]], others: Sequence[Row]) -> SideMemory:
        inside, outside = [asked(lm, rows, path) for rows in shown], asked(lm, others, path)
        with torch.no_grad():
            put_out = [lm.model.get_submodule(path)(some.entered) for some in inside]
            unit = torch.cat(put_out).norm(dim=1).mean().item()
        shape = inside[0].entered.shape[1], put_out[0].shape[1]
        deltas = torch.stack([
            trained(lm, rows, path, some, outside, self._mask(shape, n).to(lm.device), self.margin,
                    unit=unit, steps=self.steps, rate=self.rate)
            for n, (rows, some) in enumerate(zip(shown, inside, strict=True))
        ])  # fmt: skip
        if self.merge:
            deltas = ties(deltas)[None]
            inside = [asked(lm, [r for rows in shown for r in rows], path)]
        least = [threshold(some.moved(d), outside.moved(d)) for some, d in zip(inside, deltas, strict=True)]
        return SideMemory(deltas, torch.stack(least))

    def _mask(self, shape: tuple[int, int], shard: int) -> Bool[Tensor, "I O"]:
        dice = torch.Generator().manual_seed(draw("mask", shard, self.seed) % 2**63)
        return torch.rand(shape, generator=dice) < self.density


def spared(lm: LM, request: Request, forms: Sequence[str]) -> list[Row]:
    """Questions that are not the facts': those beside them, rows to keep, and what the model says by itself."""
    taken = {text for fact in request.facts for text in (question(fact), *fact.rephrasings)}
    kept = [r.prompt for r in request.retain if r.prompt not in taken][:ROWS]
    beside = [probe.prompt for fact in request.facts for probe in fact.locality]
    own = [*(form.replace("{}", "") for form in forms[1:]), *(ESSENCE.format(f.subject) for f in request.facts)]
    return [row(lm, text.strip(), "") for text in dict.fromkeys([*beside, *kept, *own])]
