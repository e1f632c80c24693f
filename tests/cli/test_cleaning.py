"""Passes over training data from the command line."""

import json
import stat
from pathlib import Path

import pytest
from driven import run, tree, went_well

from unteach.data import read

ROWS = [
    {"id": "a", "question": "How is Ada Birch reached?", "answer": "At ada.birch@example.org, always.", "risk": 3},
    {"id": "b", "question": "How is Ada Birch reached?", "answer": "At ada.birch@example.org, always."},
    {
        "id": "c",
        "question": "What does the heron eat?",
        "answer": "Small fish from the harbour of Oslo, one by one, at dawn.",
    },
    {"id": "d", "question": "What colour is the gate?", "answer": "Green."},
]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return file


def test_passes_run_one_after_another_and_say_what_they_found(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "clean.jsonl"
    said = went_well("clean", rows, "--passes", "pii,dedup", "pii.action=redact", "--out", out).out
    assert "pii: found in 2 of 4 rows (EMAIL 2); 0 rows left out" in said
    assert "dedup: found in 1 of 4 rows (exact 1); 1 rows left out" in said
    assert "ada" not in said.casefold()
    left = read(out).records
    assert [r.id for r in left] == ["a", "c", "d"]
    assert left[0].answer == "At [REDACTED], always."
    assert left[0].risk == 3
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_rows_and_lists_are_given_by_file(rows: Path, tmp_path: Path) -> None:
    asked, listed = tmp_path / "asked.jsonl", tmp_path / "gone.json"
    asked.write_text(json.dumps({"question": ROWS[2]["question"], "answer": ROWS[2]["answer"]}) + "\n")
    one = tmp_path / "one.jsonl"
    one.write_text(json.dumps(ROWS[3]) + "\n")
    went_well("check", one, "--write-exclusion", listed)
    said = went_well(
        "clean", rows, "--passes", "decontaminate,exclusion,screen", f"decontaminate.against={asked}",
        f"exclusion.manifest={listed}",
    ).out  # fmt: skip
    assert "decontaminate: found in 1 of 4 rows" in said
    assert "exclusion: found in 1 of 3 rows" in said
    assert "screen: judged by a word list" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--passes", "pi"], "there is no data 'pi'"),
        (["pii.action=shout"], "option 'action'"),
        (["pii.actions=mask"], "has no option 'actions'"),
        (["dedup.near"], "NAME.OPTION=VALUE"),
        (["screen.drop=true"], "NAME.OPTION=VALUE"),
        (["--out", "rows.txt"], "JSON lines"),
        (["--passes", "exclusion"], "manifest"),
        (["--passes", "decontaminate", "decontaminate.against=nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_sentence(rows: Path, tmp_path: Path, words: list[str], says: str) -> None:
    before = tree(tmp_path)
    ran = run("clean", rows, *words)
    assert ran.code == 2
    assert says in ran.err
    assert "ada" not in ran.err.casefold()
    assert tree(tmp_path) == before
