"""A release, an undo and a finalising that are killed at any point: never half there, and the same call ends them."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from killed import FORKS, PLAN, REQUEST, in_a_child

from unteach.edit.bake import bake, mend
from unteach.edit.edit import Edit
from unteach.edit.release import Form, finalise, read_edit, read_run, release, undo
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune
from unteach.schema import InputError

pytestmark = FORKS


@dataclass(frozen=True)
class Case:
    """An edit to release in one form, the model it was made on, and a folder that holds its release."""

    form: Form
    edit: Edit
    lm: LM
    done: Path

    @property
    def after(self) -> str:
        """The digest of the released model as it loads."""
        return load(self.done / "release").digest()


@pytest.fixture(scope="module", params=["baked", "adapter"])
def case(request: pytest.FixtureRequest, newborn: LM, tmp_path_factory: pytest.TempPathFactory) -> Case:
    place = tmp_path_factory.mktemp(request.param)
    bake(None, newborn, place / "base")
    lm = load(place / "base")
    plan = replace(PLAN, tune="full" if request.param == "baked" else "lora", epochs=1)
    found = Case(request.param, Finetune("dpo", plan=plan)(lm, REQUEST), lm, place / "done")
    releasing(found, found.done)
    return found


def releasing(case: Case, place: Path) -> None:
    release(case.edit, case.lm, place, form=case.form, about={"method": "any"}, card="# What this model forgot\n")


def files(place: Path) -> list[str]:
    return sorted(p.relative_to(place).as_posix() for p in place.rglob("*"))


def digest(place: Path) -> str:
    """The digest of what lies in `release`; nothing where there is no such folder."""
    return load(place / "release").digest() if (place / "release").exists() else ""


def laid(start: Path | None, place: Path) -> Path:
    """A copy of `start` at `place`."""
    return Path(shutil.copytree(start, place)) if start else place


def killed_everywhere(
    work: Callable[[Path], None], desk: Path, start: Path | None, every: int
) -> Iterator[tuple[int, Path]]:
    """A fresh copy of `start` for each point, after the work on it was killed there."""

    calm = laid(start, desk / "calm")
    events = in_a_child(work, calm).events
    for point in range(0, events, every):
        place = laid(start, desk / f"killed-{point}")
        assert in_a_child(work, place, kill_at=point).events == point
        yield point, place


def test_a_killed_release_is_whole_or_absent_and_the_next_one_ends_it(case: Case, desk: Path) -> None:
    expected, count = read_run(case.done), 0

    def again(place: Path) -> list[Any]:
        releasing(case, place)
        written = files(place)
        return [read_run(place), digest(place), read_edit(place).digest(), written, undo(place), digest(place)]

    undone, every = (case.lm.digest(), 1) if case.form == "baked" else ("", 2)
    for point, place in killed_everywhere(partial(releasing, case), desk, None, every):
        assert digest(place) in ("", case.after), point
        if (place / "run.json").exists():
            assert read_run(place) == expected
            assert read_edit(place).digest() == case.edit.digest()
        found = again(place)
        assert found == [expected, case.after, case.edit.digest(), files(case.done), expected["base"], undone], point
        count += 1
    assert count >= (25 if undone else 12)


def test_a_killed_release_over_an_older_one_leaves_either_of_them(case: Case, desk: Path) -> None:
    def baking(place: Path) -> None:
        bake(None, case.lm, place / "release")

    found = []
    for point, place in killed_everywhere(baking, desk, case.done, 2):
        mend(place / "release")
        found.append(digest(place))
        assert found[-1] in (case.after, case.lm.digest()), point
        assert not [f for f in files(place) if "/." in f or f.startswith(".")]
    assert len(set(found)) == 2 or case.form == "adapter"


def test_what_has_ended_is_on_the_disk(case: Case, desk: Path) -> None:
    """The power is lost just after the call has returned."""
    for work, start in ((partial(releasing, case), None), (undo, case.done), (finalise, case.done)):
        calm, place = laid(start, desk / "calm"), laid(start, desk / "killed")
        in_a_child(work, place, kill_at=in_a_child(work, calm).events - 1)
        assert (files(place), read_run(place), digest(place)) == (files(calm), read_run(calm), digest(calm))
        assert not (place / "private").exists() or read_edit(place).digest() == case.edit.digest()
        shutil.rmtree(calm)
        shutil.rmtree(place)


def test_a_killed_undo_is_whole_or_absent_and_the_next_one_ends_it(case: Case, desk: Path) -> None:
    original = case.lm.digest() if case.form == "baked" else ""
    count = 0

    def again(place: Path) -> list[Any]:
        if read_run(place)["state"] == "released":
            undo(place)
        with pytest.raises(InputError, match="undone before"):
            undo(place)
        return [read_run(place)["release"], digest(place), files(place)]

    for point, place in killed_everywhere(undo, desk, case.done, 1):
        assert digest(place) in ("", case.after, original), point
        left = files(desk / "calm")
        assert again(place) == [read_run(case.done)["base"], original, left], point
        count += 1
    assert count >= (12 if original else 6)


def test_a_killed_finalising_leaves_no_way_back_once_it_is_ended(case: Case, desk: Path) -> None:
    def again(place: Path) -> list[Any]:
        if read_run(place)["state"] == "released":
            finalise(place)
        with pytest.raises(InputError, match="finalised before"):
            finalise(place)
        with pytest.raises(InputError, match="no longer possible"):
            undo(place)
        return [digest(place), files(place)]

    left = [f for f in files(case.done) if not f.startswith("private")]
    for point, place in killed_everywhere(finalise, desk, case.done, 1):
        assert again(place) == [case.after, left], point
        run = json.loads((place / "run.json").read_text(encoding="utf-8"))
        assert not {"base", "edit", "request"} & set(run)


def test_finalising_removes_what_a_killed_undo_left(case: Case, desk: Path) -> None:
    """An undo that was cut short leaves the original in the folder, which no one may find there afterwards."""
    left = [f for f in files(case.done) if not f.startswith("private")]
    found = set()
    for _, place in killed_everywhere(undo, desk, case.done, 3):
        if read_run(place)["state"] == "released" and digest(place) == case.after:
            found |= {p.name for p in place.iterdir()}
            finalise(place)
            assert files(place) == left
    assert case.form == "adapter" or ".release-writing" in found
