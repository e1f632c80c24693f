"""SeUL: ascent on the sensitive parts of an answer alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.measure.spans import marks
from unteach.methods.finetune.finetune import Finetune
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request

MEMORY: frozenset[Need] = frozenset({"reference"})


@method("seul", tested_by="test_seul_pushes_marked_tokens_and_no_others")
@dataclass(frozen=True)
class SeUL:
    """Gradient ascent on marked tokens: minimise sum over marked tokens of log p, divided by their number.

    With `annotation` offline the marks are the `spans` of the forget rows, which `unteach reword --mark --writer MODEL`
    lets a model write and confirm; a row without them is refused. With online
    the model marks for itself, before it is trained: of each answer the `quantile` of tokens that it finds least likely
    (at least one), where `least` neighbours or more are among them; the longest such run is marked where none is as
    long. Wang et al. 2024, arXiv:2402.05813; they mark online what a model finds unlikely, and the quantile and the
    shortest run are chosen here, as no figures are given. With all tokens marked it is `finetune` on `ga`.

    Needs forget rows. The rest of an answer is pushed by nothing directly, but moves with what it shares. Nothing
    holds the other rows, and the ascent has no bound. A secret that is left unmarked stays; what a model knows by
    heart it does not find unlikely, and may so leave unmarked.

    Example: ``SeUL(annotation="online", quantile=0.5)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    annotation: Literal["online", "offline"] = "online"
    quantile: float = 0.5
    least: int = 2
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        if not 0 < self.quantile <= 1 or self.least < 1:
            raise InputError("seul marks a share of tokens above 0 and at most 1, in runs of at least one token")

    def __call__(self, lm: LM, request: Request) -> Edit:
        ascent = Finetune("ga", retain_term="none", plan=self.plan)
        task = ascent.task(request)  # refuses what is missing
        told = {f"forget/{r.id}": spans(lm, r) for r in request.forget} if self.annotation == "offline" else {}

        def loss(now: Sides, before: Sides) -> Tensor:
            marked = self._told(now.forget, told) if told else unlikely(before.forget, self.quantile, self.least)
            return pushed(now.forget.token_logps, marked)

        about = "offline" if told else f"online, quantile={self.quantile:g}, least={self.least}"
        needs = task.needs if told else task.needs | MEMORY
        return ascent.train(lm, replace(task, loss=loss, needs=needs), made_by=f"seul({about})")

    @staticmethod
    def _told(view: View, told: Mapping[str, Bool[Tensor, " n"]]) -> Bool[Tensor, " N"]:
        return torch.cat([told[name] for name in view.records]).to(view.lengths.device)


def pushed(logps: Float[Tensor, " N"], marked: Bool[Tensor, " N"]) -> Float[Tensor, ""]:
    """The mean log-probability of the marked tokens; 0 where there are none."""
    return torch.where(marked, logps, 0.0).sum() / marked.sum().clamp_min(1)


def spans(lm: LM, record: Record) -> Bool[Tensor, " n"]:
    """Which of a row's n answer tokens belong to its spans; the end-of-text token does not."""
    found = marks(lm.encoder, record) if record.spans else None
    if found is None or not found.any():
        raise InputError(
            "a forget record has no spans that its tokens can be told by; mark each with unteach reword --mark, or take annotation=online"
        )
    marked = torch.zeros(int(lm.batch([record]).lengths[0]), dtype=torch.bool)
    marked[: len(found)] = torch.from_numpy(found)
    return marked


def unlikely(view: View, quantile: float, least: int) -> Bool[Tensor, " N"]:
    """Of each row the tokens of lowest log-probability, in runs of at least `least`."""
    rows = torch.split(view.token_logps.detach(), view.lengths.tolist())
    return torch.cat([_runs(row, quantile, least) for row in rows])


def _runs(logps: Float[Tensor, " n"], quantile: float, least: int) -> Bool[Tensor, " n"]:
    count = max(1, round(quantile * len(logps)))
    low = torch.zeros_like(logps, dtype=torch.bool)
    low[logps.argsort(stable=True)[:count]] = True
    edges = torch.nn.functional.pad(low.int(), (1, 1)).diff().nonzero()[:, 0].view(-1, 2).tolist()
    longest = max(end - start for start, end in edges)
    marked = torch.zeros_like(low)
    for start, end in edges:
        marked[start:end] = end - start >= min(least, longest)
    return marked
