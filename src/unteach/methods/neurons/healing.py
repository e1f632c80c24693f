"""Act, then heal: fine-tuning on the rows to keep, over a model from which something was taken."""

from dataclasses import replace

from unteach.edit.edit import Edit
from unteach.edit.gauge import Gauge
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.schema import Request

# What was drawn anew or cut learns next to nothing at the rates of fine-tuning.
PLAN = Plan(tune="full", lr=3e-4)


def healed(lm: LM, act: Edit, request: Request, plan: Plan) -> Edit:
    """The act, and over it what lowers the mean negative log-probability of the answer tokens to keep.

    The history begins before the act. `plan.stop_forget` ends nothing: what the act took is gone before the first step, so
    that it would leave a model that was damaged and never healed.
    """
    gauge, plan = Gauge(lm, request), replace(plan, stop_forget=None)
    act = replace(act, history=({"step": 0.0, "tokens": 0.0, **gauge.read()},))
    with act.on(lm):
        return act.then(learn(lm, request.retain, plan, request.forget))
