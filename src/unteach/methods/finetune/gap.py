"""GAP: a little ascent on text that has nothing to do with anything."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan, draw
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request

PLAN = Plan(tune="full", epochs=15.0, lr=5e-5, accumulate=1, warmup_epochs=0.0, decay="constant", weight_decay=0.0)


@method("gap", tested_by="test_gap_is_ascent_on_whole_texts_that_nobody_asked_to_forget")
@dataclass(frozen=True)
class GAP:
    """A few steps of gradient ascent on random text: minimise the mean of log p over the tokens of `texts` texts.

    Yoon et al. 2023, arXiv:2306.07052, who make at most 15 updates and report that other tasks are then done better.
    The texts are drawn from the holdout rows, question and answer as one text, all of it read as an answer; all that
    are drawn are one batch. It is told nothing of what has to go, and is here as the control for methods that are: what
    a forget metric gains under it is the harm of ascent and no forgetting.

    Needs holdout rows, which afterwards are no longer rows that were never trained on: keep others for membership
    tests. It has no bound, and does not look at what should stay.

    Example: ``GAP(texts=16)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"holdout"})
    texts: int = 16
    plan: Plan = field(default_factory=lambda: PLAN)

    def __post_init__(self) -> None:
        if self.texts < 1:
            raise InputError("option 'texts' of gap counts texts; choose it at least 1")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "gap", "holdout")
        order = sorted(request.holdout, key=lambda r: draw(self.plan.seed, "gap", r.id))
        chosen = [Record(r.id, "", f"{r.prompt} {r.answer}".strip()) for r in order[: self.texts]]
        plan = replace(self.plan, batch_size=len(chosen), accumulate=1)
        ascent = Finetune("ga", retain_term="none", plan=plan)
        return ascent.train(lm, ascent.task(Request(forget=chosen)), made_by=f"gap({len(chosen)} texts)")
