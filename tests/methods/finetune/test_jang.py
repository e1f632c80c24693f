"""Ascent that stops where unseen rows stand, on a small town."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from unteach.audit.benchmarks.town import Town
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import Put
from unteach.edit.plan import Plan
from unteach.lm.fresh import Size, fresh
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune
from unteach.methods.finetune.jang import Jang, Level, known
from unteach.schema import InputError, Request

TOWN = Town(people=14, leaving=3, strangers=4)
SCHOOL = Plan(tune="full", lr=4e-3, epochs=18, batch_size=16, accumulate=1, warmup_epochs=0.5, decay="cosine")
ASCENT = Plan(tune="full", lr=1e-3, epochs=40)
REQUEST = TOWN.request()


@pytest.fixture(scope="module")
def town() -> LM:
    lessons = TOWN.lessons()
    size = Size(vocabulary=400, hidden=64, layers=2, heads=4, inner=128, positions=64)
    lm = fresh((f"{r.prompt} {r.answer}" for r in lessons), size)
    edit = learn(lm, lessons, SCHOOL)
    with torch.no_grad():
        for name, delta in edit.delta(lm).items():
            lm.parameters()[name].add_(delta)
    return lm


@pytest.fixture(scope="module")
def level(town: LM) -> Level:
    return known(town, REQUEST.holdout, 10)


def after(lm: LM, edit: Edit) -> Level:
    with edit.on(lm):
        return known(lm, REQUEST.forget, 10)


def above(found: Level, level: Level) -> bool:
    return found[0] > level[0] or found[1] > level[1]


def weights(edit: Edit) -> dict[str, Tensor]:
    found = {}
    for name, chain in edit.weights.items():
        assert isinstance(chain[-1], Put)
        found[name] = chain[-1].value
    return found


def test_jang_stops_at_the_first_epoch_below_the_level_of_unseen_rows(town: LM, level: Level) -> None:
    """Plain ascent for as many epochs is the same bit for bit; for one epoch less it is still above the level."""
    assert above(known(town, REQUEST.forget, 10), level)
    edit = Jang(chunk=len(REQUEST.forget), plan=ASCENT)(town, REQUEST)
    stopped = int(edit.history[-1]["step"])
    assert 1 < stopped < ASCENT.epochs
    assert not above(after(town, edit), level)
    plain = replace(ASCENT, batch_size=len(REQUEST.forget), accumulate=1, warmup_epochs=0.0, decay="constant")
    for epochs in (stopped - 1, stopped):
        same = Finetune("ga", plan=replace(plain, epochs=epochs))(town, REQUEST)
        assert above(after(town, same), level) == (epochs < stopped)
    assert all(torch.equal(weights(edit)[name], value) for name, value in weights(same).items())


def test_chunks_are_forgotten_one_after_the_other(town: LM, level: Level) -> None:
    chunk = len(REQUEST.forget) // 3
    edit = Jang(chunk=chunk, plan=ASCENT)(town, REQUEST)
    assert sum(h["step"] == 0 for h in edit.history) == 3
    with edit.on(town):
        assert not above(known(town, REQUEST.forget[-chunk:], 10), level)
    first = Jang(chunk=chunk, plan=ASCENT)(town, replace(REQUEST, forget=REQUEST.forget[:chunk]))
    assert edit.links[0] == first.digest()
    assert all(len(chain) == 1 for chain in edit.weights.values())  # what a later chunk put hides the earlier ones


def test_what_is_forgotten_already_is_left_alone(town: LM) -> None:
    edit = Jang(el=1.0, ma=1.0, plan=ASCENT)(town, replace(REQUEST, holdout=()))
    assert [h["step"] for h in edit.history] == [0.0] * len(edit.links or (1,))
    assert all(torch.equal(value, town.parameters()[name]) for name, value in weights(edit).items())


def test_a_level_has_to_come_from_somewhere(llama: LM) -> None:
    for request in (replace(REQUEST, holdout=()), Request(retain=REQUEST.retain)):
        with pytest.raises(InputError, match="give --holdout FILE, or --el and --ma"):
            Jang()(llama, request)
    with pytest.raises(InputError, match="choose them at least 1"):
        Jang(chunk=0)
