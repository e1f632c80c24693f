"""Ascent on text that has nothing to do with what has to go."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import worlds
from unteach.edit.patches import Put
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match
from unteach.methods.finetune.finetune import Finetune
from unteach.methods.finetune.gap import GAP
from unteach.schema import InputError, Record, Request

UNSEEN = tuple(Record(f"u{i}", f"Who keeps {t}?", f"{t} is kept by a heron.") for i, t in enumerate(worlds.TOWNS))
WHOLE = tuple(Record(r.id, "", f"{r.prompt} {r.answer}") for r in UNSEEN)
PLAN = Plan(tune="full", epochs=3, lr=5e-4, warmup_epochs=0.0, decay="constant")


def level(lm: LM, records: tuple[Record, ...]) -> float:
    return float(np.mean([a.logps.mean() for a in ask(lm, records)]))


def test_gap_is_ascent_on_whole_texts_that_nobody_asked_to_forget(lm: LM) -> None:
    """The same weights bit for bit as ascent on the texts in one batch; forget and retain rows are not read."""
    request = Request(holdout=UNSEEN)
    edit = GAP(plan=PLAN)(lm, request)
    plain = replace(PLAN, batch_size=len(UNSEEN), accumulate=1)
    same = Finetune("ga", plan=plain)(lm, Request(forget=WHOLE))
    for (a,), (b,) in zip(edit.weights.values(), same.weights.values(), strict=True):
        assert isinstance(a, Put)
        assert isinstance(b, Put)
        assert torch.equal(a.value, b.value)
    assert edit.digest() == GAP(plan=PLAN)(lm, replace(request, forget=worlds.FORGET, retain=worlds.RETAIN)).digest()
    assert edit.history[-1]["step"] == PLAN.epochs  # one update a pass
    before = level(lm, WHOLE)
    with edit.on(lm):
        assert level(lm, WHOLE) < before


def test_a_few_published_steps_leave_what_is_known(lm: LM) -> None:
    """15 updates at 5e-5 are small beside what the model knows of its own rows."""
    with GAP()(lm, Request(holdout=UNSEEN)).on(lm):
        assert np.mean([exact_match(a) or 0 for a in ask(lm, worlds.RECORDS)]) > 0.98


def test_as_many_texts_are_drawn_as_are_wanted(llama: LM) -> None:
    edits = [GAP(texts=n, plan=PLAN)(llama, Request(holdout=UNSEEN)) for n in (4, 12, 99)]
    assert [edit.made_by.partition(" texts")[0] for edit in edits] == ["gap(4", "gap(12", "gap(12"]
    with pytest.raises(InputError, match="holdout"):
        GAP()(llama, Request(forget=worlds.FORGET))
    with pytest.raises(InputError, match="at least 1"):
        GAP(texts=0)
