"""Every method that changes weights has a row or a reason, and the tables say what the kept parts say."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from benchmarks.methods import elsewhere, rows
from benchmarks.methods_drawn import Line, draw
from benchmarks.methods_page import Asked, brief, gathered, ranked, raw, section
from benchmarks.parts import each, kept
from benchmarks.worlds import World, town

from unteach.assemble import make_method, settings
from unteach.registry import entries, find
from unteach.report import to_json
from unteach.schema import Finding, Report, Row, Score

LEVELS = {  # probability of the rows to forget and to keep
    "original": (0.99, 0.99), "retrained": (0.3, 0.98), "near": (0.32, 0.97), "far": (0.6, 0.97), "ruined": (0.3, 0.1),
}  # fmt: skip
SETS = {"forget": {"n": 20, "role": "forget"}, "retain": {"n": 20, "role": "retain"}}


@pytest.fixture(scope="module")
def world() -> World:
    return town(0)


@pytest.fixture
def found(tmp_path: Path) -> Asked:
    """Five models asked once, and a method that refused."""
    for name, levels in LEVELS.items():
        place = tmp_path / "town" / "0" / name
        place.mkdir(parents=True)
        (place / "asked.json").write_text(to_json(_report(name, levels)))
        if name not in ("original", "retrained"):
            (place / "made.json").write_text(json.dumps({"seconds": 3.2, "bytes": 5 << 20, "edit": "there"}))
    kept(tmp_path / "town" / "0" / "unwilling" / "made.json", lambda: {"failed": "it wants other rows"})
    return gathered(tmp_path, "town")


def _report(name: str, levels: tuple[float, float]) -> Report:
    """Scores of twenty rows that all have one value, and what two attacks brought back of half an answer."""
    scores = tuple(
        Row("original", where, Score(metric, level, level, level, 20, {f"{where}/{i}": level for i in range(20)}))
        for where, level in zip(SETS, levels, strict=True)
        for metric in ("probability", "rougel")
    )
    back = {"retrained": 0.1, "near": 0.15, "far": 0.6, "ruined": 0.0}
    attacks = tuple(
        Finding(attack, "edited", "weights", "told", 0.5 + back[name], before=0.5, recovered=back[name])
        for attack in ("relearn", "quantise")
        if name in back
    )
    return Report(name, {}, SETS, {}, scores, attacks=attacks)


def test_every_registered_method_has_a_row_or_a_reason(world: World) -> None:
    there = {name for name, *_ in rows(world)}
    reasons = [name for names in elsewhere().values() for name in names]
    assert there.isdisjoint(reasons)
    assert {e.name for e in entries("method")} == (there & {e.name for e in entries("method")}) | {"finetune", *reasons}
    goals = {e.name for e in entries("objective") if find("objective", e.name).role == "forget"}
    assert there >= goals


def test_methods_have_the_plan_of_their_world_and_keep_their_own_settings(world: World) -> None:
    of: Mapping[str, Mapping[str, object]] = {n: settings(make_method(method, o)) for n, method, o in rows(world)}
    same = {"epochs": 20.0, "lr": 2e-3, "batch_size": 16, "tune": "full"}
    for name in ("npo", "euk", "cfk", "resetweights", "prunefinetune", "taskvector"):
        assert same.items() <= of[name].items()
    assert of["rmu"]["tune"] is None
    assert settings(make_method("noisyfinetune", {}))["lr"] == of["noisyfinetune"]["lr"]


def test_the_table_says_what_came_back_beyond_the_retrained_model(found: Asked) -> None:
    assert found.told("far", "relearn", "excess") == [pytest.approx(0.5)]
    assert found.told("retrained", "relearn", "excess") == []
    assert found.told("original", "relearn", "value") == []
    lines = [*section(found)]
    row = next(line for line in lines if line.startswith("| far | 0.6 |"))
    assert row.endswith("| 0.5 | 1.1 | 0.5 | 1.1 | 0.5 | 3 | 5 | not forgotten |")
    assert "| unwilling | no edit | it wants other rows |" in lines


def test_methods_stand_by_verdict_and_then_by_how_near_they_come(found: Asked) -> None:
    verdicts = {name: of[0].verdict for name, of in found.verdicts.items()}
    assert verdicts == {"near": "forgotten", "far": "not forgotten", "ruined": "broken"}
    assert ranked(found) == ["near", "far", "ruined"]
    assert json.loads(json.dumps(raw(found)))["verdicts"]["ruined"]["0"][0] == "broken"


def test_a_reason_names_the_first_gate_and_counts_the_others() -> None:
    assert brief("More is known: a on x, b on x, c on y; damaged: d on z.") == (
        "More is known: a on x and 2 more; damaged: d on z"
    )
    assert brief("There is no set of rows to forget.") == "There is no set of rows to forget"


def test_a_part_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    path = tmp_path / "parts" / "one.json"
    assert kept(path, lambda: {"value": 1}) == {"value": 1}
    assert kept(path, lambda: {"value": 2}) == {"value": 1}


def test_a_task_that_fails_stops_no_other(tmp_path: Path) -> None:
    tasks = [partial(_write, tmp_path / "there" / "x"), partial(_write, tmp_path / "y")]
    with pytest.raises(FileNotFoundError):
        each(tasks, 1)
    assert (tmp_path / "y").read_text() == "done"


def _write(path: Path) -> None:
    path.write_text("done")


def test_what_could_not_be_measured_is_not_drawn(tmp_path: Path) -> None:
    lines = [Line("retrained", 0.1, 0.2, 0.1, 0.9), Line("whole", 0.5, 0.7, 0.6, 1.0), Line("none", *(None,) * 4)]
    text = draw("town", lines, tmp_path).read_text()
    assert "whole" in text
    assert "after relearning" in text
