"""Alternate preference optimisation."""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from torch import Tensor

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.methods.finetune.alternates import ITSELF, alternates, one_of, writer_of
from unteach.methods.finetune.objectives import NLL
from unteach.methods.finetune.preference import DPO, IDK
from unteach.registry import method
from unteach.schema import InputError, Need, Request


@method("altpo", tested_by="test_altpo_prefers_the_alternates_it_wrote")
@dataclass(frozen=True)
class AltPO:
    """Prefer answers that the model could have given to the one that it has to forget.

    L = DPO(alternate over the forgotten answer, `beta`) + nll_weight * NLL(alternate) + retain_weight * NLL(retain),
    where DPO is -(2/beta) mean log sigmoid(beta ((s_a - s_a') - (s - s'))). Mekala et al. 2024, arXiv:2409.13474, who
    draw five alternates a question from the model itself at temperature 1. Needs forget and retain rows.

    `writer` writes the alternates: the model itself (`self`), a model's folder or hub id, or a URL, to which the rows to
    forget are sent then. Writers are asked greedily, in one go for all alternates of a row; what is the right answer,
    holds its telling words or has another form is refused and asked for again, and the rules fill up (all of them,
    with an empty `writer`). Alternates that a row brings come first. In each epoch a row has one of them.

    An alternate is a plausible falsehood: the model is taught to say it, and it may happen to be true.

    Example: ``AltPO(alternates=5, beta=0.1)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    alternates: int = 5
    beta: float = 0.1
    nll_weight: float = 1.0
    retain_weight: float = 1.0
    writer: str = ITSELF
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        if self.alternates < 1 or self.beta <= 0:
            raise InputError("option 'alternates' of altpo counts answers, and 'beta' divides; choose both above 0")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "altpo", "forget", "retain")
        made = alternates(request, self.alternates, self.plan.seed, writer_of(lm, self.writer))
        prefer, learn, keep = DPO(self.beta), IDK(), NLL()

        def loss(now: Sides, before: Sides) -> Tensor:
            forget = prefer(now.forget, before.forget) + self.nll_weight * learn(now.forget, before.forget)
            return forget + self.retain_weight * keep(now.retain, before.retain)

        needs: frozenset[Need] = frozenset({"forget", "retain", "instead", "reference"})
        task = Task(request.forget, request.retain, loss, needs, partial(one_of, made, self.plan.seed))
        terms = f"{prefer} + {self.nll_weight:g} * {learn} + {self.retain_weight:g} * {keep}"
        return train(lm, task, self.plan, made_by=f"altpo({self.alternates}, {terms}, {self.plan})")[0]
