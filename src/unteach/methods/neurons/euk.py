"""EU-k: the last blocks are learnt anew from the rows to keep."""

from dataclasses import dataclass, field
from typing import ClassVar

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.patches import Put
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.neurons.asked import kept
from unteach.methods.neurons.healing import PLAN, healed
from unteach.methods.neurons.lastblocks import last, only, within
from unteach.methods.neurons.weights import started
from unteach.registry import method
from unteach.schema import Need, Request


@method("euk", tested_by="test_euk_starts_the_last_blocks_anew_and_leaves_the_rest")
@dataclass(frozen=True)
class EUk:
    """The last k blocks are drawn anew as before any training, and then trained on the rows to keep alone.

        W = a new draw in the last k blocks;  minimise over them  mean over answer tokens to retain of  -log p(token)

    Goel et al. 2022, arXiv:2201.06640 (exact unlearning of the last k layers, of image classifiers). Here a layer is a
    block; the embeddings, the final norm and the output head stay as they are. `k` counts blocks; below 1 it is a share
    of the depth. Matrices are drawn from the normal distribution of the model's own `initializer_range`.

    Needs retain rows, on which it trains, and forget rows, at which it only looks: the history tells of them, and those
    that are also among the former are refused. `plan.stop_forget` ends nothing. It keeps what the retain rows
    teach and nothing else of what the blocks knew: where these rows are few, general knowledge goes too. What the blocks
    below and the embeddings keep of the forgotten rows stays.

    Example: ``EUk(k=0.5)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    makes_adapter: ClassVar[bool] = False
    k: float = 3
    seed: int = 0
    plan: Plan = field(default_factory=lambda: PLAN)

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "euk", "forget")
        kept(lm, request, "euk")
        blocks = last(lm, self.k)
        new = {name: (Put(value),) for name, value in started(lm, within(lm, blocks), self.seed).items()}
        act = Edit(base=lm.digest(), weights=new, made_by=f"euk(blocks {blocks[0]}-{blocks[-1]}, seed={self.seed})")
        return healed(lm, act, request, only(self.plan, blocks))
