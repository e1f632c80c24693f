"""Act, then heal: fine-tuning on the rows to keep, over a model from which something was taken."""

from collections.abc import Sequence

from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.schema import Record

# What was drawn anew or cut learns next to nothing at the rates of fine-tuning.
PLAN = Plan(tune="full", lr=3e-4)


def healed(lm: LM, act: Edit, rows: Sequence[Record], plan: Plan) -> Edit:
    """The act, and over it what lowers the mean negative log-probability of the answer tokens of the rows."""
    with act.on(lm):
        return act.then(learn(lm, rows, plan))
