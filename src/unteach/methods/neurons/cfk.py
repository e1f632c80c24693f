"""CF-k: the last blocks are trained on with the rows to keep, until they forget by themselves."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.neurons.asked import kept
from unteach.methods.neurons.lastblocks import last, only
from unteach.registry import method
from unteach.schema import Need, Request


@method("cfk", tested_by="test_cfk_starts_from_the_weights_as_they_are")
@dataclass(frozen=True)
class CFk:
    """The last k blocks are trained on with the rows to keep alone, from where they are.

        minimise over the last k blocks  mean over answer tokens to retain of  -log p(token)

    Goel et al. 2022, arXiv:2201.06640 (catastrophic forgetting of the last k layers, of image classifiers): what is not
    rehearsed is forgotten. Here a layer is a block; the embeddings, the final norm and the output head stay as they are.
    `k` counts blocks; below 1 it is a share of the depth.

    Needs retain rows, on which it trains; rows to forget, where there are any, it only watches, and refuses those that
    are also among these. It forgets little where the retain rows are known well already, since then there is little to
    learn; a larger learning rate or more epochs forget more, of everything.

    Example: ``CFk(k=0.5)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"retain"})
    makes_adapter: ClassVar[bool] = False
    k: float = 3
    plan: Plan = field(default_factory=Plan)

    def __call__(self, lm: LM, request: Request) -> Edit:
        rows, blocks = kept(lm, request, "cfk"), last(lm, self.k)
        edit = learn(lm, rows, only(self.plan, blocks), request.forget)
        return replace(edit, made_by=f"cfk(blocks {blocks[0]}-{blocks[-1]}) {edit.made_by}")
