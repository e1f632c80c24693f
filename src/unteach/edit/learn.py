"""Plain fine-tuning: how a model is made that will have to forget, and its retrained reference."""

from collections.abc import Sequence

from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.model import LM
from unteach.schema import Record


def learn(lm: LM, records: Sequence[Record], plan: Plan, watched: Sequence[Record] = ()) -> Edit:
    """Lower the negative log-probability of the answers, token mean, by the plan.

    `watched` are rows to forget that are not trained on: the history tells of them, and `plan.stop_forget` goes by them.
    """

    def loss(now: Sides, _before: Sides) -> Tensor:
        return -now.retain.token_logps.mean()

    task = Task((), records, loss, frozenset({"retain"}), watched=watched)
    return train(lm, task, plan, made_by=f"learn({plan})")[0]
