"""Refusals, wrong answers or answers of other rows as data."""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.methods.finetune.alternates import Replacement, alternates, mismatched, one_of, writer_of
from unteach.methods.finetune.finetune import REFUSALS
from unteach.registry import method
from unteach.schema import InputError, Need, Request

Answers = Literal["refusal", "counterfactual", "mismatched"]


@method("idkdata", tested_by="test_idkdata_is_one_token_mean_over_replacements_and_retain_rows")
@dataclass(frozen=True)
class IDKData:
    """Plain fine-tuning on other answers to the forget questions, beside retain rows.

    L = cross-entropy, one mean over all answer tokens of both: a short refusal weighs less beside long retain rows
    than in the objective `idk`, whose two terms have a mean each. Maini et al. 2024, arXiv:2401.06121. Needs forget
    and retain rows. The forgotten answers are never read by the loss.

    `answers` says what is learned: `refusal`, one of `instead`, drawn for each row and epoch; `counterfactual`, a
    wrong answer of the form of the right one (what the row brings, or by `writer`, or by rule), after the relabelling
    in Eldan and Russinovich 2023, arXiv:2310.02238; `mismatched`, the answer of a retain row, drawn anew each epoch,
    the mismatch of Yao et al. 2023, arXiv:2310.10683. `writer` is a model's folder or hub id, `self`, or a URL. A
    writer is shown the rows to forget: a URL sends them away.

    The old answer is not pushed down, only made less likely than the new one; other wordings of a question and
    attacks may bring it back. Refusals spread to questions that should be answered.

    Example: ``IDKData(answers="counterfactual")(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    answers: Answers = "refusal"
    instead: tuple[str, ...] = field(default=REFUSALS, repr=False)
    writer: str = ""
    alternates: int = 5
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        if self.alternates < 1 or not self.instead:
            raise InputError(
                "options 'alternates' and 'instead' of idkdata give other answers; give at least 1 of each"
            )

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "idkdata", "forget", "retain")
        needs: frozenset[Need] = frozenset({"instead", "retain"})
        task = Task(request.forget, request.retain, joint_loss, needs, self.replacement(lm, request))
        return train(lm, task, self.plan, made_by=f"idkdata({self.answers}, {self.plan})")[0]

    def replacement(self, lm: LM, request: Request) -> Replacement:
        """What gives the answer that is learned for a record in an epoch."""
        seed = self.plan.seed
        if self.answers == "mismatched":
            return partial(mismatched, request.retain, seed)
        if self.answers == "refusal":
            return partial(one_of, {r.id: self.instead for r in request.forget}, seed)
        return partial(one_of, alternates(request, self.alternates, seed, writer_of(lm, self.writer)), seed)


def joint_loss(now: Sides, _before: Sides) -> Tensor:
    """-sum(log p) / number of tokens, over replacements and retain rows together."""
    return -torch.cat([now.forget.instead.token_logps, now.retain.token_logps]).mean()
