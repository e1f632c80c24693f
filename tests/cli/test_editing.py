"""Editors are trained from the command line, and used by the methods that need them."""

import json
from pathlib import Path

from driven import run, went_well

import worlds
from unteach.data.facts import read_facts
from unteach.lm.load import load
from unteach.methods.facts.mend import MEND
from unteach.schema import Request


def facts(folder: Path) -> Path:
    """Twelve corrections as zsRE has them."""
    rows = list(worlds.RECORDS)
    told = [
        {"src": r.prompt, "subject": town, "alt": rows[n - 1].answer, "answers": [r.answer], "rephrase": f"Tell me: {r.prompt}",
         "loc": rows[n - 3].prompt, "loc_ans": rows[n - 3].answer}
        for n, (town, r) in enumerate(zip(worlds.TOWNS, rows, strict=True))
    ]  # fmt: skip
    path = folder / "zsre.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


def test_an_editor_is_trained_saved_and_used_from_the_command_line(pupil: Path, tmp_path: Path) -> None:
    table, out = facts(tmp_path), tmp_path / "editor"
    words = ("train-editor", pupil, "--facts", table, "--out", out, "--holdout", 3, "--steps", 20, "--batch", 3)
    ran = went_well(*words, "--method", "mend", "rank=16")
    assert "3 corrections that were not practised: reliability" in ran.out
    assert str(out) in ran.out
    assert ran.err.count("step ") == 20
    lm = load(pupil)
    edit = MEND(editor=str(out))(lm, Request(facts=read_facts(table)[:1]))
    assert edit.weights
    assert json.loads((out / "editor.json").read_text())["sizes"]["rank"] == 16


def test_what_cannot_be_trained_is_one_sentence(pupil: Path, tmp_path: Path) -> None:
    table = facts(tmp_path)
    given = ("train-editor", pupil, "--facts", table, "--out", tmp_path / "editor")
    for more, said in (
        (("--method", "rome"), "mend"),
        (("--holdout", 12), "--holdout less"),
        (("--steps", -1), "at least one step"),
        (("rink=3",), "rank"),
    ):
        ran = run(*given, *more)
        assert ran.code == 2, ran.err
        assert said in ran.last
    assert run("train-editor", pupil, "--out", tmp_path / "editor").code == 2
