"""Guards from the command line: made for a request, put on for an audit, chained, refused."""

import json
from pathlib import Path

import pytest
from driven import run, went_well

import worlds
from unteach.report import read as read_report

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def hidden(pupil: Path, towns: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guard as `forget` writes it."""
    out = tmp_path_factory.mktemp("guards") / "hidden"
    files = ("--forget", towns / "forget.jsonl", "--retain", towns / "retain.jsonl")
    went_well(
        "forget", pupil, *files, "--method", "gate+filter", "--release", "edit", "--out", out, "--metrics", "rougel"
    )
    return out


def test_a_chain_of_guards_is_made_and_worn(hidden: Path, pupil: Path, towns: Path, tmp_path: Path) -> None:
    edit = json.loads((hidden / "release" / "edit.json").read_text(encoding="utf-8"))
    assert [g["guard"] for g in edit["guards"]] == ["filter", "gate"]  # the last is the first that a question meets
    assert edit["guarantee"]["kind"] == "suppression"
    assert not any(town in edit["made_by"] for town in worlds.TOWNS)
    files = ("--forget", towns / "forget.jsonl", "--retain", towns / "retain.jsonl")
    went_well(
        "audit", pupil, "--worn", hidden / "release", *files, "--metrics", "rougel,refusalrate", "--out", tmp_path / "a",
        "--attacks", "guardlist",
    )  # fmt: skip
    report = read_report(tmp_path / "a" / "report.json")
    assert report.guarantee.kind == "suppression"
    assert report.verdicts["edited"].verdict == "not forgotten"
    value = {(r.model, r.set, r.score.name): r.score.value or 0.0 for r in report.scores}
    assert value["edited", "forget", "rougel"] < 0.3 < 0.9 < value["original", "forget", "rougel"]
    assert value["edited", "retain", "rougel"] == value["original", "retain", "rougel"]
    assert value["edited", "forget", "refusalrate"] == 1
    (listed,) = report.attacks
    assert listed.value == 1.0  # who is refused is told by the refusals


def test_what_cannot_be_guarded_is_refused(
    hidden: Path, pupil: Path, newborn: Path, towns: Path, tmp_path: Path
) -> None:
    files = ("--forget", towns / "forget.jsonl")
    guarding = ("forget", pupil, *files, "--out", tmp_path / "out", "--release", "edit", "--method")
    for words, sentence in (
        ((*guarding[:-3], "--method", "gate"), "choose --release edit"),
        ((*guarding, "gate+locks"), "there is no guard 'locks'"),
        ((*guarding, "serac+gate"), "use --method serac"),
        ((*guarding, "gate", "tightness=3"), "no option 'tightness'"),
        (("audit", newborn, "--worn", hidden / "release", *files), "this edit was made on another model"),
        (("audit", pupil, "--worn", hidden / "release", "--before", newborn, *files), "leave --before out"),
        (("audit", pupil, "--worn", tmp_path, *files), "name the folder that an edit was saved in"),
    ):
        ran = run(*words)
        assert (ran.code, sentence in ran.last) == (2, True), (words, ran.last)
    assert not (tmp_path / "out").exists()
