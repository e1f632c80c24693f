"""Task vectors: what fine-tuning on some rows adds to the weights."""

from collections.abc import Sequence
from dataclasses import replace

from unteach.data.given import require
from unteach.edit.cost import tokens_of
from unteach.edit.edit import Edit
from unteach.edit.gauge import Gauge
from unteach.edit.learn import learn
from unteach.edit.plan import Plan, draw
from unteach.lm.model import LM
from unteach.schema import InputError, Record, Request


def vectors(lm: LM, request: Request, parts: int, plan: Plan) -> list[Edit]:
    """One fine-tuning for each part of the forget rows; the change of the weights is the part's task vector."""
    require(request, "a task vector", "forget")
    return [learn(lm, rows, plan) for rows in split(request.forget, parts, plan.seed)]


def split(rows: Sequence[Record], parts: int, seed: int) -> list[list[Record]]:
    """Rows in parts by a hash of their ids, or (with 0 parts) by their subjects; no part is empty."""
    nameless = next((r.id for r in rows if not r.subject), None)
    if not parts and nameless is not None:
        raise InputError(f"record '{nameless}' names no subject to go by; give --parts N to split by ids")
    keys = {r.id: str(draw(seed, "parts", r.id) % parts) if parts else r.subject for r in rows}
    return [[r for r in rows if keys[r.id] == key] for key in sorted(set(keys.values()))]


def watched(lm: LM, request: Request, edit: Edit, trained: Sequence[Record], plan: Plan) -> Edit:
    """The edit with what it does to the request as its history; `trained` are the rows of its fine-tunings.

    What was measured in between would tell of models that know the rows better, not of this one.
    """
    gauge = Gauge(lm, request)
    before = {"step": 0.0, "tokens": 0.0, **gauge.read()}
    with edit.on(lm):
        after = {"step": 1.0, "tokens": tokens_of(lm, trained) * plan.epochs, **gauge.read()}
    return replace(edit, history=(before, after))


def refuse(alpha: float, parts: int = 1) -> None:
    """Refuse settings that mean nothing."""
    if alpha < 0:
        raise InputError("option 'alpha' is how much of the change is taken off, and is not below 0")
    if parts < 0:
        raise InputError("option 'parts' counts parts of the forget rows; 0 makes one of each subject")
