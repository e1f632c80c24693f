"""EUL: layers that unlearn, trained behind each MLP of a frozen model."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan, alternating
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.methods.finetune.behind import Behind
from unteach.methods.finetune.objectives import KL, NLL
from unteach.registry import method
from unteach.schema import Guarantee, InputError, Need, Request

READ: frozenset[Need] = frozenset({"forget", "retain", "reference_logits"})
HIDES = Guarantee(
    "suppression",
    "removable",
    "Layers were added and no weight was changed: whoever takes them off has the model back.",
)


@method("eul", tested_by="test_eul_layers_begin_as_the_identity_and_come_off")
@dataclass(frozen=True)
class EUL:
    """Unlearning layers h + h W behind each MLP, trained while the model itself is frozen.

        forget epochs  minimise  -KL(before || now) + ascent * mean log p
        retain epochs  minimise  keep * KL(before || now) - task * mean log p

    Epochs on forget and on retain rows take turns. W = down @ up is of rank `plan.rank`, and `up` begins at 0: at first
    the layers change nothing. Chen and Yang 2023, arXiv:2310.20150, on T5, who search the weights in 0.1 to 1; here they
    are all 1 but the ascent, the order inside KL is that of `kl`, and the layers are linear, so that several can be
    fused in closed form (`unteach.methods.finetune.fusion`). `plan.tune` may name layers, such as 3-5; lora and full
    mean all. Without `plan.lr` the rate is 5e-5.

    Needs forget and retain rows. Both terms of the forget epochs are without bound. Nothing is erased: without the
    layers the model is what it was, and they cannot be baked into it. The edit keeps second moments of what the
    rows look like inside the model, forgotten ones included.

    Example: ``EUL(ascent=0.2)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    guarantee: ClassVar[str] = "suppression"
    makes_adapter: ClassVar[bool] = False
    keep: float = 1.0
    task: float = 1.0
    ascent: float = 0.2
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        if min(self.keep, self.task, self.ascent) < 0:
            raise InputError("the weights of eul, 'keep', 'task' and 'ascent', are not below 0")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "eul", "forget", "retain")
        plan = replace(self.plan, lr=self.plan.lr or 5e-5)
        behind = Behind(lm, plan)
        task = Task(request.forget, request.retain, self._loss, READ)
        about = f"eul(keep={self.keep:g}, task={self.task:g}, ascent={self.ascent:g}, {plan})"
        trained = train(lm, task, plan, made_by=about, order=alternating, opened=behind.opened)[0]
        return replace(trained, activations=behind.maps([*request.forget, *request.retain]), guarantee=HIDES)

    def _loss(self, now: Sides, before: Sides) -> Tensor:
        terms = []
        if len(now.forget.lengths):
            moved = KL()(now.forget, before.forget)
            terms.append(self.ascent * now.forget.token_logps.mean() - moved)
        if len(now.retain.lengths):
            terms.append(self.keep * KL()(now.retain, before.retain) + self.task * NLL()(now.retain, before.retain))
        return torch.stack(terms).sum()
