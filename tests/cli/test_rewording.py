"""Rows of one's own get what they lack, and an audit then asks it."""

import json
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from driven import run, tree, went_well

import worlds
from unteach.data import read
from unteach.report import from_json


@pytest.fixture
def rows(tmp_path: Path, towns: Path) -> Path:
    """The towns in one file."""
    file = tmp_path / "towns.jsonl"
    file.write_text((towns / "forget.jsonl").read_text() + (towns / "retain.jsonl").read_text(), encoding="utf-8")
    return file


@pytest.mark.usefixtures("undrawn")
def test_reworded_rows_are_audited_for_what_they_lacked(
    pupil: Path, newborn: Path, towns: Path, rows: Path, tmp_path: Path
) -> None:
    metrics = ["--metrics", "truthratio,accuracy,paraphrase", "--max-new", 16]
    bare = tmp_path / "bare"
    went_well("audit", pupil, "--forget", towns / "forget.jsonl", *metrics, "--out", bare)
    assert from_json((bare / "report.json").read_text()).scores == ()

    made = tmp_path / "reworded.jsonl"
    said = went_well("reword", towns / "forget.jsonl", "--beside", rows, "--out", made)
    assert "wrong answers: 4 of 4 rows have 5" in said.out
    found = {}
    for name, model in (("pupil", pupil), ("newborn", newborn)):
        out = tmp_path / name
        went_well("audit", model, "--forget", made, *metrics, "--out", out)
        found[name] = {r.score.name: r.score.value for r in from_json((out / "report.json").read_text()).scores}
    assert found["pupil"]["accuracy"] == 1.0
    assert found["newborn"]["accuracy"] < 1.0
    assert found["pupil"]["truthratio"] < found["newborn"]["truthratio"]
    assert found["pupil"]["paraphrase"] is not None


def test_the_file_is_private_whole_and_read_back(rows: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.jsonl"
    ran = went_well("reword", rows, "--out", made, "--count", 3, "--paraphrases", 2, "--restate", "--seed", 4)
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    records = read(made).records
    assert [(r.id, r.prompt, r.answer) for r in records] == [(r.id, r.prompt, r.answer) for r in worlds.RECORDS]
    assert {(len(r.perturbed), len(r.paraphrases), bool(r.restated)) for r in records} == {(3, 2, True)}
    assert "other wordings: 12 of 12 rows have 2" in ran.out
    assert not [t for t in worlds.TOWNS if t in ran.out + ran.err]
    went_well(
        "reword", rows, "--out", tmp_path / "again.jsonl", "--count", 3, "--paraphrases", 2, "--restate", "--seed", 4
    )
    assert (tmp_path / "again.jsonl").read_bytes() == made.read_bytes()


def test_a_model_writes_where_it_passes_and_the_rules_fill_up(rows: Path, newborn: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.jsonl"
    ran = went_well(
        "reword",
        rows,
        "--out",
        made,
        "--count",
        1,
        "--paraphrases",
        0,
        "--limit",
        3,
        "--beside",
        rows,
        "--writer",
        newborn,
    )
    assert "written by newborn" in ran.out
    assert all(len(json.loads(line)["perturbed"]) == 1 for line in made.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["@none.jsonl", "--out", "@a.jsonl"], "none.jsonl"),
        (["@towns.jsonl", "--out", "@towns.jsonl"], "this is the file that is read"),
        (["@towns.jsonl", "--out", "@a.csv"], "ends in .jsonl"),
        (["@towns.jsonl", "--out", "@none/a.jsonl"], "cannot be written"),
        (["@towns.jsonl", "--out", "@a.jsonl", "--count", "-1"], "0 to 50"),
        (["@towns.jsonl", "--out", "@a.jsonl", "--writer", "@nobody"], "nobody"),
        (["@towns.jsonl"], "--out"),
    ],
)
def test_what_cannot_be_reworded_is_one_sentence(rows: Path, words: list[str], says: str) -> None:
    before = tree(rows.parent)
    ran = run("reword", *(w.replace("@", f"{rows.parent}/") for w in words))
    assert ran.code == 2
    assert says in ran.last
    assert "Traceback" not in ran.err
    assert tree(rows.parent) == before


def test_a_served_model_writes_and_its_address_is_not_said(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clerk:
        name = "clerk"

        def generate(self, prompts: Sequence[str], max_new: int, /) -> list[str]:  # noqa: ARG002
            return ["It has a zoo of paper." for _ in prompts]

    monkeypatch.setattr("unteach.lm.served.connect", lambda _: Clerk())
    made = tmp_path / "made.jsonl"
    ran = went_well(
        "reword",
        rows,
        "--out",
        made,
        "--count",
        1,
        "--paraphrases",
        0,
        "--writer",
        "http://me:canary@here/v1?key=canary",
    )
    assert "12 written by clerk, 0 of its texts refused" in ran.out
    assert "canary" not in ran.out + ran.err
    assert {r.perturbed for r in read(made).records} == {("It has a zoo of paper.",)}


def test_marked_rows_are_what_seul_takes_offline(pupil: Path, towns: Path, tmp_path: Path) -> None:
    made = tmp_path / "marked.jsonl"
    ran = went_well("reword", towns / "forget.jsonl", "--count", 0, "--paraphrases", 0, "--mark", "--out", made)
    assert "marked parts: 4 of 4 rows have 1" in ran.out
    assert all(r.spans for r in read(made).records)
    words = ["--method", "seul", "annotation=offline", "--epochs", 1, "--out", tmp_path / "out"]
    assert run("forget", pupil, "--forget", towns / "forget.jsonl", *words).code == 2  # nothing is marked there
    ran = run("forget", pupil, "--forget", made, *words)
    assert ran.code in (0, 1), ran.err
    assert "offline" in (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
