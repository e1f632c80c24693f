"""Our trainings as they are timed: a registered method on given steps, with nothing measured on the way."""

from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

from torch import Tensor

from benchmarks.subjects import ROWS, Lesson
from unteach.edit.edit import Edit
from unteach.edit.gauge import Gauge
from unteach.edit.plan import Plan
from unteach.edit.rows import Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.methods.finetune import finetune
from unteach.schema import EMPIRICAL, Guarantee, Request

EPOCHS = 10  # over the rows to forget
PLAN: Mapping[str, Any] = {
    "lr": 1e-5, "epochs": EPOCHS, "batch_size": ROWS, "accumulate": 1, "warmup_epochs": 0, "decay": "constant",
    "weight_decay": 0.01,
}  # fmt: skip
Finetuning = Callable[[LM, Request], Edit]


def trained(method: Finetuning, lm: LM, taught: Lesson) -> Edit:
    """The method's edit, with the lesson's steps in place of its own."""

    def run(
        patient: LM, task: Task, plan: Plan, *, made_by: str = "", guarantee: Guarantee = EMPIRICAL, order: Any = None
    ) -> tuple[Edit, dict[str, Tensor]]:
        del order
        return train(patient, task, plan, made_by=made_by, guarantee=guarantee, order=taught.order)

    with patch.object(finetune, "train", run), patch.object(Gauge, "wanted", False):
        return method(lm, taught.request)


def task_of(method: Finetuning, lm: LM, request: Request) -> tuple[Task, Plan]:
    """What a method would train on, and how."""
    with patch.object(finetune, "train") as asked:
        method(lm, request)
    _, task, plan = asked.call_args.args
    return task, plan


def learned(task: Task, plan: Plan, lm: LM, taught: Lesson) -> Edit:
    """Training on a task as it is, over the lesson's steps."""
    with patch.object(Gauge, "wanted", False):
        return train(lm, task, plan, order=taught.order)[0]
