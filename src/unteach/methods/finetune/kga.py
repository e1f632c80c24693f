"""KGA: forgotten rows shall lie as far from a model that knows them as unseen rows do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import kl_div

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.measure.answers import batched
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request

READ: frozenset[Need] = frozenset({"forget", "retain", "reference_logits"})
Told = Mapping[str, Float[Tensor, "n V"]]  # log-probabilities at each token of an answer, by the id of its record


@method("kga", tested_by="test_kga_closes_the_gap_that_unseen_rows_have")
@dataclass(frozen=True)
class KGA:
    """Knowledge gap alignment: what has to go becomes as strange to the model as rows that it never saw.

        minimise  | KL(forget-taught || now)(forget) - gap | + retain_weight * KL(before || now)(retain)
        gap = KL(holdout-taught || before)(holdout)

    Two helpers are trained first from the model before, by the plan: one on the forget rows and one on the holdout
    rows. KL is the mean over answer tokens; `gap` is one number, over all holdout rows. Wang et al. 2023,
    arXiv:2305.06535; their helpers begin where the model once began, which is not at hand here, and they make
    many retain steps of weight 0.1 to each forget step, where here one of weight 1 stands beside it. With `stop` above 0 training ends when the first term, over
    all forget rows, is at most that share of what it first was.

    Needs forget, retain and holdout rows; the holdout rows must be of the same kind as the forgotten ones and unseen
    till now. Afterwards a helper has seen them, the model has not. Trains three times, and keeps the forget-taught
    distributions: forget tokens times vocabulary times 4 bytes. A gap near 0, where the holdout rows were easy already,
    asks for no forgetting. One number for all rows does not say that each of them is forgotten.

    Example: ``KGA(retain_weight=1.0)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain", "holdout"})
    retain_weight: float = 1.0
    stop: float = 0.0
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        if self.retain_weight < 0 or not 0 <= self.stop < 1:
            raise InputError("kga takes a retain weight that is not below 0, and a share to stop at from 0 to below 1")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "kga", "forget", "retain", "holdout")
        lesson = replace(self.plan, stop_forget=None, stop_retain=None, report_to="")
        with learn(lm, request.holdout, lesson).on(lm):
            known = said(lm, request.holdout)
        gap = divergence(known, said(lm, request.holdout))
        with learn(lm, request.forget, lesson).on(lm):
            told = said(lm, request.forget)

        def loss(now: Sides, before: Sides) -> Tensor:
            want = torch.cat([told[name.removeprefix("forget/")] for name in now.forget.records])
            terms = mean_kl(want.to(now.forget.logits), now.forget.logits.log_softmax(-1)).sub(gap).abs()
            if self.retain_weight and len(now.retain.lengths):
                past = before.retain.logits.detach().log_softmax(-1)
                terms = terms + self.retain_weight * mean_kl(past, now.retain.logits.log_softmax(-1))
            return terms

        first = abs(divergence(told, said(lm, request.forget)) - gap)

        def enough() -> str:
            left = abs(divergence(told, said(lm, request.forget)) - gap)
            return "the forget rows are as far as unseen ones" if left <= self.stop * first else ""

        about = f"gap={gap:.6g}, retain_weight={self.retain_weight:g}, stop={self.stop:g}, {self.plan}"
        task = Task(request.forget, request.retain, loss, READ, enough=enough if self.stop else None)
        return train(lm, task, self.plan, made_by=f"kga({about})")[0]


@torch.no_grad()
def said(lm: LM, records: Sequence[Record]) -> dict[str, Float[Tensor, "n V"]]:
    """The whole next-token log-distributions at the answer tokens of each record, by its id."""
    found: dict[str, Tensor] = {}
    for part, batch in batched(lm, records):
        logps = lm.run(batch).logits.log_softmax(-1).cpu()
        for i, first, last in zip(part, batch.offsets, batch.offsets[1:], strict=False):
            found[records[i].id] = logps[first:last].clone()
    return found


def mean_kl(first: Float[Tensor, "N V"], second: Float[Tensor, "N V"]) -> Float[Tensor, ""]:
    """KL(first || second) of log-probabilities in nats, averaged over tokens."""
    return kl_div(second, first, reduction="sum", log_target=True) / len(first)


def divergence(first: Told, second: Told) -> float:
    """The same over all tokens of all records."""
    return mean_kl(*(torch.cat([side[i] for i in first]) for side in (first, second))).item()
