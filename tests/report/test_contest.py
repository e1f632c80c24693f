"""Figures of a comparison: points where the reports say, the front beside a slow search, shares by hand, files that hang together."""

import csv
import re
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest

from unteach.report import contest, write_contest
from unteach.report.pareto import Point, front, plane_points, points_csv
from unteach.report.radar import spokes, spokes_csv
from unteach.schema import Finding, Report, Row, Score

ROLES = {"original": "original", "ga": "edited", "npo": "edited", "retrained": "retrained"}
CURVES = {  # (alpha, forget, retain), and which alpha keeps equally much
    "ga": (((0.0, 0.9, 0.9), (0.5, 0.5, 0.86), (1.0, 0.0, 0.1)), 0.5),
    "npo": (((0.0, 0.9, 0.9), (0.5, 0.6, 0.8), (1.0, 0.3, 0.7)), 1.0),
}
SCORES = {  # original, ga, npo, retrained
    ("forget", "probability"): (0.9, 0.3, 0.5, 0.4),
    ("retain", "probability"): (0.8, 0.4, 0.76, 0.8),
    ("general", "probability"): (0.5, 0.5, 0.6, 0.5),
    ("forget", "privleak"): (-90.0, 40.0, -20.0, 0.0),
    ("forget", "extractionstrength"): (0.91, 0.5, 0.3, 0.2),
    ("retain", "extractionstrength"): (0.9, 0.86, 0.7, 0.88),
}


def run(seed: int, shift: float = 0.0, **changes: object) -> Report:
    rows = tuple(
        Row(m, where, Score(metric, v))
        for (where, metric), vs in SCORES.items()
        for m, v in zip(ROLES, vs, strict=True)
    )
    mixing = {
        name: tuple(
            {"alpha": a, "forget": f + (shift if a else 0.0), "retain": r} | ({"equal": 1.0} if a == equal else {})
            for a, f, r in curve
        )
        for name, (curve, equal) in CURVES.items()
    }
    attacks = tuple(
        Finding(attack, model, "questions", "told", 0.5, n=4, excess=excess)
        for attack, model, excess in (("prefix", "ga", 0.1), ("relearn", "ga", 0.3), ("prefix", "npo", -0.2))
    )
    made = Report(
        "r", {m: {"role": role, "digest": f"{m}{seed}"} for m, role in ROLES.items()},
        {name: {"role": name} for name in ("forget", "retain", "general")}, {}, rows,
        method={"name": "compare", "tau": 0.95, "measure": "extractionstrength", "seed": seed}, mixing=mixing,
        environment={"training seconds of ga": 2.0, "training seconds of npo": 8.0}, attacks=attacks,
        axes={"forget": ("forget", "probability"), "utility": ("retain", "probability")},
    )  # fmt: skip
    return replace(made, **changes)


def means(reports: Mapping[int, Report]) -> dict[tuple[str, float | None, bool], Point]:
    return {(p.model, p.alpha, p.equal): p for p in plane_points(reports) if p.seed is None}


def slow_front(places: list[tuple[float, float]]) -> list[bool]:
    return [
        not any(a <= x and b >= y and (a, b) != (x, y) for a, b in places)
        for x, y in places
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_the_front_is_what_no_other_point_beats(seed: int) -> None:
    draw = Random(seed)
    steps = draw.choice((3, 6, 1000))  # few steps make ties
    places = [(draw.randint(0, steps) / steps, draw.randint(0, steps) / steps) for _ in range(draw.randint(0, 40))]
    assert front(places) == slow_front(places)


def test_every_point_lies_where_the_reports_say_and_means_are_over_seeds() -> None:
    reports = {0: run(0), 3: run(3, shift=0.1)}
    points = plane_points(reports)
    singles = {(p.model, p.seed, p.alpha): (p.forget, p.retain, p.equal) for p in points if p.seed is not None}
    assert len(singles) == 2 * (3 + 3 + 2)
    assert singles["ga", 3, 0.5] == (0.6, 0.86, True)
    assert singles["retrained", 0, None] == (0.2, 0.88, False)
    assert singles["original", 0, None] == (0.91, 0.9, False)
    found = means(reports)
    assert (found["ga", 0.5, True].forget, found["ga", 0.5, True].retain) == (pytest.approx(0.55), 0.86)
    assert found["npo", 0.5, False].runs == 2
    assert ("ga", 0.5, False) not in found, "one point is not two"


def test_the_front_is_nearest_to_the_retrained_model_or_lowest_without_one() -> None:
    def ahead(reports: Mapping[int, Report]) -> set[tuple[str, float | None]]:
        return {(p.model, p.alpha) for p in plane_points(reports) if p.front}

    assert ahead({0: run(0)}) == {("ga", 0.5), ("npo", 1.0)}  # ga at 1 knows less than the retrained model
    bare = {m: about for m, about in run(0).models.items() if m != "retrained"}
    rows = tuple(r for r in run(0).scores if r.model != "retrained")
    assert ahead({0: run(0, models=bare, scores=rows)}) == {("ga", 0.5), ("npo", 1.0), ("ga", 1.0)}


def test_parts_at_equal_retention_go_together_and_others_only_where_all_seeds_have_them() -> None:
    other = dict(run(1).mixing)
    other["ga"] = (
        {"alpha": 0.0, "forget": 0.9, "retain": 0.9},
        {"alpha": 0.5, "forget": 0.7, "retain": 0.9},
        {"alpha": 0.55, "forget": 0.3, "retain": 0.87, "equal": 1.0},
        {"alpha": 1.0, "forget": 0.2, "retain": 0.3},
    )
    found = means({0: run(0), 1: run(1, mixing=other)})
    assert (found["ga", 0.525, True].forget, found["ga", 0.525, True].runs) == (0.4, 2)
    assert found["ga", 0.5, False].forget == pytest.approx(0.6)
    assert not any(alpha == 0.55 for model, alpha, _ in found if model == "ga")


def test_a_method_without_a_curve_and_an_original_without_a_score_are_still_there() -> None:
    whole = {0: run(0, mixing={"ga": run(0).mixing["ga"], "npo": ()})}
    assert (means(whole)["npo", None, True].forget, means(whole)["npo", None, True].retain) == (0.3, 0.7)
    rows = tuple(r for r in run(0).scores if r.score.name != "extractionstrength")
    found = means({0: run(0, scores=rows)})
    assert (found["original", None, False].forget, found["original", None, False].retain) == (0.9, 0.9)
    assert not any(model == "retrained" for model, _, _ in found)


def test_shares_are_those_computed_by_hand() -> None:
    found = {(s.model, s.axis): (s.share, s.value) for s in spokes({0: run(0), 1: run(1)})}
    assert found["ga", "forget"] == (pytest.approx(0.8), pytest.approx(0.1))  # 0.1 away, of 0.5
    assert found["npo", "forget"] == (pytest.approx(0.8), pytest.approx(0.1))
    assert found["ga", "retain"] == (0.5, 0.5)
    assert found["npo", "general"] == (1.0, 1.2)
    assert found["ga", "privacy"] == (pytest.approx(0.6), 40.0)
    assert found["ga", "robustness"] == (0.7, 0.3)
    assert found["npo", "robustness"] == (1.0, -0.2)
    assert (found["ga", "cost"], found["npo", "cost"]) == ((1.0, 2.0), (0.25, 8.0))


def test_an_axis_that_one_method_or_run_lacks_is_left_out() -> None:
    def axes(**changes: object) -> list[str]:
        return list(dict.fromkeys(s.axis for s in spokes({0: run(0), 1: run(1, **changes)})))

    assert axes() == ["forget", "retain", "general", "privacy", "robustness", "cost"]
    assert "robustness" not in axes(attacks=run(1).attacks[:2])
    assert "cost" not in axes(environment={"training seconds of ga": 2.0})
    lost = tuple(replace(r, score=replace(r.score, value=None)) if r.model == "retrained" else r for r in run(1).scores)
    assert axes(scores=lost) == ["retain", "general", "privacy", "robustness", "cost"]
    guess = tuple(Row(m, "forget", Score("mialoss", v)) for m, v in zip(ROLES, (0.9, 0.4, 0.7, 0.6), strict=True))
    kept = tuple(r for r in run(0).scores if r.score.name != "privleak")
    found = {s.model: s.share for s in spokes({0: run(0, scores=(*kept, *guess))}) if s.axis == "privacy"}
    assert found == {"ga": pytest.approx(0.6), "npo": pytest.approx(0.8)}


def test_files_hang_together_and_are_the_same_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    reports = {0: run(0), 1: run(1, shift=0.05)}
    paths = write_contest(reports, tmp_path / "a")
    assert {p.name for p in paths.values()} == {p.name for p in (tmp_path / "a").iterdir()}
    text = (tmp_path / "a" / "seeds.md").read_text(encoding="utf-8")
    assert text.startswith("# Over 2 seeds")
    assert {"pareto.svg", "radar.svg", "pareto.csv", "radar.csv"} == set(re.findall(r"\]\(([^)]+)\)", text))
    assert "as near to the retrained model's" in text
    assert "not drawn" not in text
    for name in ("pareto", "radar"):
        svg = (tmp_path / "a" / f"{name}.svg").read_text(encoding="utf-8")
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert "currentColor" in svg
        assert "prefers-color-scheme: dark" in svg
        assert not re.search(r"(fill|stroke): #010203", svg)
        assert ">ga</text>" in svg
    again = write_contest(dict(reversed(reports.items())), tmp_path / "b")
    assert all(path.read_bytes() == paths[name].read_bytes() for name, path in again.items())


def test_marks_stand_at_their_points(tmp_path: Path) -> None:
    """Pixels are affine in the values: two points of the figure give the scale, the others must follow it."""
    pytest.importorskip("matplotlib")
    report = run(0)
    write_contest({0: report}, tmp_path)
    svg = (tmp_path / "pareto.svg").read_text(encoding="utf-8")
    used = [tuple(map(float, xy)) for xy in re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', svg)]
    (original,), (retrained,) = (
        [p for p in plane_points({0: report}) if p.model == m and p.seed is None] for m in ("original", "retrained")
    )
    wanted = [(p.forget, p.retain) for p in plane_points({0: report}) if p.model in ("ga", "npo") and p.seed is None]

    def fits(a: tuple[float, float], b: tuple[float, float]) -> bool:
        right, up = ((b[i] - a[i]) / (y - x) for i, (x, y) in enumerate(zip(
            (original.forget, original.retain), (retrained.forget, retrained.retain), strict=True)))  # fmt: skip
        if right <= 0 or up >= 0:
            return False
        places = [(a[0] + right * (x - original.forget), a[1] + up * (y - original.retain)) for x, y in wanted]
        return all(any(abs(x - u) + abs(y - v) < 0.01 for u, v in used) for x, y in places)

    assert any(fits(a, b) for a in used for b in used)


def test_what_is_missing_is_said_and_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    bare = run(
        0,
        attacks=(),
        environment={},
        mixing={},
        scores=tuple(r for r in run(0).scores if r.set == "forget" and r.score.name == "probability"),
    )
    paths = write_contest({0: bare}, tmp_path)
    assert not [name for name in paths if name.endswith(".svg")]
    assert "not drawn: retain, general, privacy, robustness, cost." in (tmp_path / "seeds.md").read_text(
        encoding="utf-8"
    )
    monkeypatch.setattr(contest, "available", lambda: False)
    paths = write_contest({0: run(0)}, tmp_path / "undrawn")
    assert {p.name for p in paths.values()} == {"seeds.md", "seeds.csv", "seeds.tex", "pareto.csv", "radar.csv"}


def test_tables_hold_every_point_and_no_formula() -> None:
    points = plane_points({0: run(0), 1: run(1)})
    rows = list(csv.DictReader(StringIO(points_csv(points))))
    assert [(r["model"], r["seed"], r["alpha"]) for r in rows] == [
        (p.model, "" if p.seed is None else str(p.seed), "" if p.alpha is None else str(p.alpha)) for p in points
    ]
    assert {r["front"] for r in rows if r["seed"]} == {""}
    assert any(r["front"] == "yes" for r in rows)
    sides = spokes({0: run(0)})
    assert [(r["model"], r["axis"]) for r in csv.DictReader(StringIO(spokes_csv(sides)))] == [
        (s.model, s.axis) for s in sides
    ]
    assert "'=SUM" in points_csv((replace(points[0], model="=SUM(1)"),))
