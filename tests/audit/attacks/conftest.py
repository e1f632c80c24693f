"""Tiny models to ask: one that tells only under pressure, one that never knew, one behind guards."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from asking import ROWS, Around, lessons

import worlds
from unteach.audit.attacks import affirmative, roleplay
from unteach.audit.attacks.showing import examples
from unteach.audit.target import Target
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.fresh import fresh
from unteach.lm.model import LM


@pytest.fixture(scope="session")
def shy() -> Target:
    """A model that knows four rows and tells them only under pressure."""
    texts = [*worlds.TEXTS, *affirmative.FORMS, *roleplay.FRAMES]
    lm = fresh(texts, replace(worlds.SIZE, vocabulary=600, positions=512))
    target = Target(lm, ROWS, max_new=24)
    taught = [
        replace(lesson, id=f"{row.id}/{n}")
        for row, shown in zip(ROWS, examples(target, "fewshot", 1), strict=True)
        for n, lesson in enumerate(lessons(target, row, shown))
    ]
    plan = Plan(tune="full", epochs=30, lr=4e-3, batch_size=6, accumulate=1, decay="cosine", weight_decay=0.0)
    edit = learn(lm, taught, plan)
    with torch.no_grad():
        for name, delta in edit.delta(lm).items():
            lm.parameters()[name].add_(delta)
    return target


@pytest.fixture(scope="session")
def newborn() -> Target:
    """A model that never knew anything."""
    return Target(fresh(worlds.TEXTS, replace(worlds.SIZE, positions=512)), ROWS, max_new=24)


@pytest.fixture
def guarded(llama: LM) -> Any:
    """The tiny Llama that knows everything, behind guards that a test puts up."""
    standing = worlds.state(llama)

    def behind(*guards: Around) -> Target:
        llama.guards[:] = guards
        return Target(llama, worlds.RECORDS, max_new=24)

    yield behind
    llama.guards.clear()
    assert worlds.state(llama) == standing
