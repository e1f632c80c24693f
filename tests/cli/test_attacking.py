"""Attacks from the command line: what the report holds, and what it must not."""

from pathlib import Path

import pytest
from driven import run, went_well
from test_commands import found_in

import worlds
from unteach.lm.load import load
from unteach.registry import entries
from unteach.report import read as read_report

pytestmark = pytest.mark.usefixtures("undrawn")
EVERY = [e.name for e in entries("attack") if e.module.startswith("unteach.")]


def test_every_attack_on_a_release_leaves_no_text_behind(
    forgetting: list[object], pupil: Path, towns: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    went_well(*forgetting, "--out", out, "--attacks", "prefix,adapterremoval")
    report = read_report(out)
    by_name = {f.attack: f for f in report.attacks}
    assert set(by_name) == {"prefix", "adapterremoval"}
    removal = by_name["adapterremoval"]
    assert removal.value == removal.before  # the release is baked, so there is nothing to take off
    assert not (out / "private" / "checkpoints").exists()
    words = ["--forget", towns / "forget.jsonl", "--retain", towns / "retain.jsonl", "--max-new", 16]
    ran = went_well("audit", out / "release", "--before", pupil, *words, "--metrics", "probability",
                    "--attacks", "all", "--out", tmp_path / "audit")  # fmt: skip
    report = read_report(tmp_path / "audit")
    assert [f.attack for f in report.attacks] == EVERY
    assert {f.model for f in report.attacks} == {"edited"}
    assert all(f.value is not None or f.note for f in report.attacks)
    for line in ("whether rounding", "whether a little training", "jailbreaks"):
        assert not any(kept.startswith(line) for kept in report.untested)
    original = load(pupil)
    assert found_in(tmp_path / "audit", worlds.FORGET, original, ()) == []
    assert not any(text in ran.err + ran.out for r in worlds.FORGET for text in (r.prompt, r.answer))
    assert (tmp_path / "audit" / "attacks.csv").is_file()


def test_a_model_by_itself_can_be_attacked(pupil: Path, towns: Path, tmp_path: Path) -> None:
    words = ["--forget", towns / "forget.jsonl", "--metrics", "probability", "--attacks", "prefix,quantise"]
    went_well("audit", pupil, *words, "--max-new", 16, "--out", tmp_path / "out")
    report = read_report(tmp_path / "out")
    assert [(f.attack, f.model, f.recovered) for f in report.attacks] == [
        ("prefix", "original", None), ("quantise", "original", None)
    ]  # fmt: skip
    assert all(f.value and f.value > 0.5 for f in report.attacks)
    assert not report.verdicts


def test_an_unknown_attack_is_refused_before_anything_is_read(pupil: Path, tmp_path: Path) -> None:
    ran = run(
        "audit", pupil, "--forget", tmp_path / "nowhere.jsonl", "--attacks", "quantize", "--out", tmp_path / "out"
    )
    assert (ran.code, ran.last) == (2, "unteach: there is no attack 'quantize'; did you mean 'quantise'?")
    assert not (tmp_path / "out").exists()


def test_most_of_several_retrained_models_decide(pupil: Path, newborn: Path, towns: Path, tmp_path: Path) -> None:
    """Beside a model that knows as much nothing is left over; beside two that never learned it is."""
    words = ["--forget", towns / "forget.jsonl", "--retain", towns / "retain.jsonl", "--max-new", 16]
    several = f"{newborn},{pupil},{newborn}"
    went_well("audit", pupil, "--before", pupil, "--retrained", several, *words, "--out", tmp_path / "audit")
    report = read_report(tmp_path / "audit")
    assert [m["role"] for m in report.models.values()] == ["original", *["retrained"] * 3, "edited"]
    (verdict,) = report.verdicts.values()
    assert verdict.verdict == "not forgotten"
    assert verdict.beside[0] == verdict.beside[2] != verdict.beside[1]
    assert "beside 2 of 3 retrained models" in verdict.reason
    assert "So it is beside 2 of 3 retrained models." in (tmp_path / "audit" / "report.html").read_text(
        encoding="utf-8"
    )
    ran = run("audit", pupil, "--before", pupil, "--retrained", f"{newborn},{tmp_path}/none", *words)
    assert (ran.code, "none: not a model folder" in ran.err) == (2, True)
