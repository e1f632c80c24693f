"""BAERASER: a backdoor is found by its trigger and closed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.edit.trainable import Trainable, trainable
from unteach.lm.model import LM
from unteach.methods.finetune.triggers import Search, behind, triggers
from unteach.registry import method
from unteach.schema import InputError, Need, Record, Request

READ: frozenset[Need] = frozenset({"forget", "retain"})


@method("baeraser", tested_by="test_a_planted_backdoor_is_found_and_closed")
@dataclass(frozen=True)
class BAERASER:
    """Backdoor erasure: look for words that bring the unwanted answers out, then unlearn the answers behind them.

        minimise  mean over rows of max(0, bound + log p(unwanted | question + trigger) / its tokens)
                  + retain_weight * NLL(retain) + penalty * ||weights - weights before||^2

    The forget rows are questions with the answer that the backdoor gives, without its trigger, which nobody knows. What
    is unlearnt are those rows behind each trigger that is found, and as they are. The ascent ends at `bound` nats a
    token. Liu et al. 2022, arXiv:2201.09538, for image classifiers, after its description: a generator draws triggers there, where here words are put in the place of one another at the end of a question
    (`search`), in the manner of Ebrahimi et al. 2018, arXiv:1712.06751; the numbers are chosen here. For an adapter the
    penalty is on its own two factors.

    Needs forget and retain rows. A trigger that it does not find, longer or elsewhere in a question, stays open, and
    what it finds need not be what was planted. An ascent may move a backdoor to another answer: try the answers that
    come out behind the trigger afterwards. Keeps a second copy of what is trained.

    Example: ``BAERASER(bound=4.0)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    search: Search = field(default_factory=Search)
    bound: float = 4.0
    retain_weight: float = 1.0
    penalty: float = 1e-3
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        if not self.bound > 0 or min(self.retain_weight, self.penalty) < 0:
            raise InputError("baeraser needs a bound above 0, and weights that are not below 0")

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "baeraser", "forget", "retain")
        found = triggers(lm, request.forget, self.search)
        rows = _open(request.forget, [trigger for trigger, _ in found])
        start: dict[str, tuple[Tensor, Tensor]] = {}

        @contextmanager
        def opened(lm: LM, plan: Plan) -> Iterator[Trainable]:
            with trainable(lm, plan) as parts:
                start.update({name: (p, p.detach().clone()) for name, p in parts.parameters.items()})
                yield parts

        def loss(now: Sides, _before: Sides) -> Tensor:
            pushed = torch.relu(self.bound + now.forget.means).mean()
            kept = -now.retain.token_logps.mean()
            moved = torch.stack([(p - first).square().sum() for p, first in start.values()]).sum()
            return pushed + self.retain_weight * kept + self.penalty * moved

        task = Task(rows, request.retain, loss, READ)
        about = f"{len(found)} triggers, the best at {found[0][1]:.3g} nats a token, {self.search}"
        about += f", bound={self.bound:g}, retain_weight={self.retain_weight:g}, penalty={self.penalty:g}, {self.plan}"
        return train(lm, task, self.plan, made_by=f"baeraser({about})", opened=opened)[0]


def _open(records: Sequence[Record], found: Sequence[tuple[str, ...]]) -> list[Record]:
    """Rows as they are, and behind each trigger."""
    rows = list(records)
    for number, trigger in enumerate(found):
        rows += [replace(behind(r, trigger), id=f"{r.id}|{number}") for r in records]
    return rows
