"""Training that is killed at any point and started again ends with the edit of a training that never stopped."""

import json
import os
import signal
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from killed import Ended, counted, in_a_child

import worlds
from unteach.edit import store
from unteach.edit.checkpoint import checkpoints_in
from unteach.edit.plan import Plan
from unteach.lm.fresh import Size, fresh
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune
from unteach.schema import Request

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="NOT TESTED: autograd's threads do not survive a fork; hide the accelerator"
)
STEPS = 5
PLAN = Plan(rank=2, lr=1e-3, epochs=STEPS, batch_size=4, accumulate=1, checkpoint_every=1, stop_retain=0.01)
REQUEST = Request(worlds.FORGET, worlds.RETAIN)


@pytest.fixture(scope="module")
def newborn() -> LM:
    """Small, and knowing nothing: what counts here is bytes. Trained on once, so that the children start warm."""
    lm = fresh(worlds.TEXTS, Size(vocabulary=300, hidden=16, layers=2, heads=2, inner=32, positions=96))
    Finetune("dpo", plan=PLAN)(lm, REQUEST)
    return lm


def forgetting(lm: LM, place: Path, plan: Plan) -> dict[str, Any]:
    """What a user's run does: train (with replacement answers and a reference), and save the edit."""
    with counted() as steps, checkpoints_in(place / "checkpoints"):
        edit = Finetune("dpo", plan=plan)(lm, REQUEST)
        store.save(edit, place / "edit")
    return {"digest": edit.digest(), "history": list(edit.history), "steps": steps[0]}


def whole_steps(place: Path) -> list[int]:
    """The steps of the checkpoints that are whole, by another reading of their manifests than the product's."""
    found = []
    for manifest in (place / "checkpoints").rglob("manifest.json"):
        folder = manifest.parent
        if not folder.name.startswith("."):
            files = json.loads(manifest.read_bytes())
            sums = {p.name: sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p != manifest}
            found += [int(folder.name.rpartition("-")[2])] if sums == files else []
    return sorted(found)


def finished(ended: Ended, undisturbed: Ended, place: Path) -> None:
    assert {**ended.returned, "steps": 0} == {**undisturbed.returned, "steps": 0}
    assert store.load(place / "edit").digest() == undisturbed.returned["digest"]
    assert sorted(p.relative_to(place).as_posix() for p in place.rglob("*")) == [
        "edit", "edit/edit.json", "edit/edit.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_killed_anywhere_it_goes_on_and_ends_the_same(newborn: LM, tmp_path: Path, tune: str) -> None:
    plan = replace(PLAN, tune=tune)
    undisturbed = in_a_child(lambda: forgetting(newborn, tmp_path / "calm", plan), tmp_path / "calm")
    assert undisturbed.returned["steps"] == STEPS
    finished(undisturbed, undisturbed, tmp_path / "calm")
    resumed = 0
    for point in range(0, undisturbed.events, 1 if tune == "lora" else 3):
        place = tmp_path / f"killed-{point}"
        place.mkdir()
        assert in_a_child(lambda: forgetting(newborn, place, plan), place, kill_at=point).returned is None
        kept = whole_steps(place)
        again = in_a_child(lambda: forgetting(newborn, place, plan), place)
        assert again.returned["steps"] == STEPS - max(kept, default=0), f"killed at {point} with {kept} kept"
        finished(again, undisturbed, place)
        resumed += bool(kept)
    print(f"{tune}: {undisturbed.events} events, resumed after {resumed} kills")
    assert resumed > undisturbed.events // (2 if tune == "lora" else 6)
