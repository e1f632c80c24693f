"""LoRA: facts learnt by an adapter that can be taken off again."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from unteach.data.facts import question
from unteach.edit.edit import Edit
from unteach.edit.plan import LORA, Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.methods.facts.layers import several
from unteach.methods.facts.lessons import row
from unteach.methods.facts.write import facts_of
from unteach.registry import method
from unteach.schema import Fact, InputError, Need, Record, Request

FACTS: frozenset[Need] = frozenset({"forget"})
RETAIN: frozenset[Need] = frozenset({"retain", "reference_logits"})
PLAN = Plan(
    rank=8, lora_alpha=16.0, epochs=30.0, lr=2e-3, accumulate=1, warmup_epochs=0.0, decay="constant", measure_every=30.0
)


@method("loraedit", tested_by="test_loraedit_learns_facts_by_an_adapter_of_the_chosen_layers_alone")
@dataclass(frozen=True)
class LoRAEdit:
    """An adapter trained on the new answers, beside a term that holds the rows to keep where there are any.

        minimise  mean over facts of  -log p(new answer | question) / its tokens
                  + locality * mean over answer tokens to keep of  KL(before || now)

    The adapter is W + (alpha / rank) B A over every linear map of the `layers` (numbers from 0 with commas between, a
    range, or auto; none: all of them). Hu et al. 2021, arXiv:2106.09685; as an editor in Zhang et al. 2024, arXiv:2401.01286.
    With `rephrasings` a fact's other wordings are learnt too; what is learnt cannot then show whether it carries over.
    The plan's `tune` is passed over, its `epochs` count passes over the facts.

    Needs facts; rows to keep (retain) are used where they are given. Without them much else changes: on small models four
    of five answers about other subjects. Released as an adapter it can be taken off: what the model said before is then
    there again.

    Example: ``LoRAEdit(layers="3-5")(lm, Request(facts=facts))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"facts"})
    makes_adapter: ClassVar[bool] = True
    layers: str = ""
    rephrasings: bool = False
    locality: float = 1.0
    plan: Plan = field(default_factory=lambda: PLAN)

    def __post_init__(self) -> None:
        if self.locality < 0:
            raise InputError("option 'locality' of loraedit weighs the rows to keep, and is not below 0")

    def __call__(self, lm: LM, request: Request) -> Edit:
        facts = facts_of(request, "loraedit")
        tune = LORA + ",".join(map(str, several(lm, self.layers, facts).layers)) if self.layers else "lora"
        plan = replace(self.plan, tune=tune)
        about = f"rephrasings={self.rephrasings}, locality={self.locality:g}, {plan}"
        return train(lm, self._task(lm, facts, request), plan, made_by=f"loraedit({about})")[0]

    def _task(self, lm: LM, facts: Sequence[Fact], request: Request) -> Task:
        wordings = [(f, text) for f in facts for text in (question(f), *(f.rephrasings if self.rephrasings else ()))]
        for fact, text in wordings:
            row(lm, text, fact.target_new)  # refuses what is too long
        records = [Record(str(n), text, fact.target_new) for n, (fact, text) in enumerate(wordings)]
        kept = request.retain if self.locality else ()

        def loss(now: Sides, before: Sides) -> Tensor:
            learnt = -_told(now.forget, len(lm.encoder.closing))
            return learnt + self.locality * _moved(now.retain, before.retain) if len(now.retain.lengths) else learnt

        return Task(records, kept, loss, FACTS | RETAIN if kept else FACTS)


def _told(answers: View, closing: int) -> Tensor:
    """The mean over rows of log p a token, without the token that ends an answer: a text may go on behind a fact."""
    logps = answers.token_logps
    if closing:
        logps = logps.index_fill(0, answers.lengths.cumsum(0) - 1, 0.0)
    return (answers.row_means(logps) * answers.lengths / (answers.lengths - closing)).mean()


def _moved(now: View, before: View) -> Tensor:
    with torch.no_grad():
        past = before.logits.log_softmax(-1)
    return kl_div(now.logits.log_softmax(-1), past, reduction="sum", log_target=True) / len(past)
