"""Training that is killed at any point and started again ends with the edit of a training that never stopped."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from killed import FORKS, PLAN, REQUEST, STEPS, Ended, counted, in_a_child

import worlds
from unteach.edit import checkpoint, store
from unteach.edit.checkpoint import checkpoints_in
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune

pytestmark = FORKS


def forgetting(lm: LM, place: Path, plan: Plan = PLAN) -> dict[str, Any]:
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
            sums = {p.name: sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p != manifest}
            found += [int(folder.name.rpartition("-")[2])] if manifest.read_text() == json.dumps(sums) else []
    return sorted(found)


def finished(ended: Ended, undisturbed: Ended, place: Path) -> None:
    assert {**ended.returned, "steps": 0} == {**undisturbed.returned, "steps": 0}
    assert store.load(place / "edit").digest() == undisturbed.returned["digest"]
    assert sorted(p.relative_to(place).as_posix() for p in place.rglob("*")) == [
        "edit", "edit/edit.json", "edit/edit.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(("tune", "first"), [("lora", 0), ("full", 1)])
def test_killed_anywhere_it_goes_on_and_ends_the_same(newborn: LM, desk: Path, tune: str, first: int) -> None:
    """At every second event with an adapter, at the others with all weights in training."""
    work = partial(forgetting, newborn, plan=replace(PLAN, tune=tune))
    undisturbed = in_a_child(work, desk / "calm")
    assert undisturbed.returned["steps"] == STEPS
    finished(undisturbed, undisturbed, desk / "calm")
    points, resumed = range(first, undisturbed.events, 2), 0
    for point in points:
        place = desk / f"killed-{point}"
        assert in_a_child(work, place, kill_at=point).returned is None
        kept = whole_steps(place)
        again = in_a_child(work, place)
        assert again.returned["steps"] == STEPS - max(kept, default=0), f"killed at {point} with {kept} kept"
        finished(again, undisturbed, place)
        resumed += bool(kept)
    assert len(points) >= 35
    assert resumed > len(points) // 2


def test_a_saved_edit_is_on_the_disk(newborn: LM, desk: Path) -> None:
    """The power is lost just after the call has returned."""
    work = partial(forgetting, newborn)
    undisturbed = in_a_child(work, desk / "calm")
    in_a_child(work, desk / "killed", kill_at=undisturbed.events - 1)
    finished(undisturbed, undisturbed, desk / "killed")


def interrupted(lm: LM, place: Path, call: int) -> dict[str, Any]:
    """Ctrl-C arrives just after the optimiser has moved the weights, for the n-th time."""
    step, calls = torch.optim.AdamW.step, 0

    def stepping(self: torch.optim.AdamW, *args: object) -> object:
        nonlocal calls
        calls += 1
        found = step(self, *args)
        if calls == call:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
            os.kill(os.getpid(), signal.SIGINT)
        return found

    torch.optim.AdamW.step = stepping
    try:
        return forgetting(lm, place)
    except KeyboardInterrupt:
        return {"interrupted": calls}


def test_interrupted_within_a_step_it_goes_on_and_ends_the_same(newborn: LM, desk: Path) -> None:
    undisturbed = in_a_child(partial(forgetting, newborn), desk / "calm")
    for call in range(1, STEPS + 1):
        place = desk / f"interrupted-{call}"
        stopped = in_a_child(partial(interrupted, newborn, call=call), place)
        assert stopped.returned == {"interrupted": call}
        again = in_a_child(partial(forgetting, newborn), place)
        assert again.returned["steps"] <= STEPS - call + 1
        finished(again, undisturbed, place)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def emptied(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()


def listing_nothing(path: Path) -> None:
    path.write_text("{}", encoding="utf-8")


DAMAGE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a bit of the tensors": ("state.safetensors", flipped),
    "a bit of the notes": ("notes.json", flipped),
    "a bit of the manifest": ("manifest.json", flipped),
    "the tensors' end": ("state.safetensors", cut),
    "the manifest's end": ("manifest.json", cut),
    "no manifest": ("manifest.json", Path.unlink),
    "no tensors": ("state.safetensors", Path.unlink),
    "an empty manifest": ("manifest.json", listing_nothing),
    "an empty folder": ("", emptied),
}


@pytest.fixture(scope="module")
def half_way(newborn: LM, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """Checkpoints of the first and second step of three, and what the training comes to."""
    calm, place = tmp_path_factory.mktemp("calm"), tmp_path_factory.mktemp("half-way")
    undisturbed = in_a_child(partial(forgetting, newborn), calm)
    for point in range(undisturbed.events // 3, undisturbed.events):
        if 2 in whole_steps(place):
            break
        shutil.rmtree(place)
        in_a_child(partial(forgetting, newborn), place, kill_at=point)
    assert whole_steps(place) == [1, 2]
    return place, undisturbed


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over(newborn: LM, desk: Path, half_way: tuple[Path, Ended], what: str) -> None:
    name, damage = DAMAGE[what]
    shutil.copytree(half_way[0], desk / "place")
    newest = max((desk / "place").rglob("step-*"))
    damage(newest / name)
    again = in_a_child(partial(forgetting, newborn), desk / "place")
    assert again.returned["steps"] == STEPS - 1
    finished(again, half_way[1], desk / "place")


def test_any_flipped_bit_is_seen(half_way: tuple[Path, Ended], desk: Path) -> None:
    """A thousand bits, spread over the files of a checkpoint."""
    whole = max(half_way[0].rglob("step-*"))
    kept = shutil.copytree(whole, desk / "kept")
    assert checkpoint.whole(kept)
    files = {p: p.read_bytes() for p in kept.iterdir()}
    starts = dict(zip(files, accumulate(map(len, files.values()), initial=0), strict=False))
    total = sum(map(len, files.values()))
    for n in range(1000):
        at = n * total // 1000
        path = next(p for p, start in starts.items() if start <= at < start + len(files[p]))
        content, at = files[path], at - starts[path]
        changed = bytearray(content)
        changed[at] ^= 1 << n % 8
        path.write_bytes(changed)
        assert not checkpoint.whole(kept), f"{path.name}, byte {at}, bit {n % 8}"
        path.write_bytes(content)
    assert checkpoint.whole(kept)


@pytest.mark.parametrize(
    "other",
    [
        {"plan": replace(PLAN, lr=2e-3)},
        {"forget_weight": 2.0},
        {"retain_weight": 2.0},
        {"instead": ("Who knows?",)},
        {"options": {"beta": 0.5}},
    ],
    ids=lambda o: next(iter(o)),
)
def test_the_checkpoint_of_another_training_is_passed_over(
    newborn: LM, desk: Path, half_way: tuple[Path, Ended], other: dict[str, Any]
) -> None:
    shutil.copytree(half_way[0], desk / "place")

    def otherwise(place: Path) -> dict[str, Any]:
        with counted() as steps, checkpoints_in(place / "checkpoints"):
            edit = Finetune(**{"objective": "dpo", "plan": PLAN, **other})(newborn, REQUEST)
        return {"digest": edit.digest(), "steps": steps[0]}

    beside = in_a_child(otherwise, desk / "place").returned
    assert beside["steps"] == STEPS
    assert beside == in_a_child(otherwise, desk / "alone").returned


def test_changed_records_are_another_training(newborn: LM, desk: Path, half_way: tuple[Path, Ended]) -> None:
    """The same ids and the same number of tokens, but other words."""
    shutil.copytree(half_way[0], desk / "place")
    said = worlds.FORGET[0].answer
    changed = replace(REQUEST, forget=(replace(worlds.FORGET[0], answer=said[::-1]), worlds.FORGET[1]))

    def otherwise(place: Path) -> int:
        with counted() as steps, checkpoints_in(place / "checkpoints"):
            Finetune("dpo", plan=PLAN)(newborn, changed)
        return steps[0]

    assert in_a_child(otherwise, desk / "place").returned == STEPS


def test_a_training_that_ended_early_is_not_taken_up_again(llama: LM, desk: Path) -> None:
    """Its target was reached before the last step; killed while the edit is saved, it has nothing left to do."""
    plan = replace(PLAN, tune="full", lr=5e-3, epochs=12, measure_every=1, stop_forget=0.5)
    work = partial(forgetting, llama, plan=plan)
    undisturbed = in_a_child(work, desk / "calm")
    assert undisturbed.returned["steps"] < 12
    nothing_left = 0
    for point in range(undisturbed.events // 2, undisturbed.events, 4):
        place = desk / f"killed-{point}"
        in_a_child(work, place, kill_at=point)
        kept = max(whole_steps(place), default=0)
        again = in_a_child(work, place)
        assert again.returned["steps"] == undisturbed.returned["steps"] - kept
        nothing_left += again.returned["steps"] == 0
        finished(again, undisturbed, place)
    assert nothing_left
