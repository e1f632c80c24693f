"""Record by record: every value is there once, the most telling come first, and none of it quotes a record."""

import csv
import re
from dataclasses import replace
from io import StringIO
from math import isnan

import made_up
import pytest

from unteach.report import figures, html, records_csv
from unteach.report.dumbbell import ranked
from unteach.report.plots import PLOTS
from unteach.report.records import leading, views
from unteach.schema import Example, Report, Row, Score

CANARY = "CANARY7391"
MODELS = {"a": {"role": "original"}, "b": {"role": "edited"}, "c": {"role": "edited"}, "r": {"role": "retrained"}}


def _report(values: dict[str, dict[str, float]], metric: str = "probability", **changes: object) -> Report:
    rows = tuple(Row(model, "forget", Score(metric, 0.5, per_record=held)) for model, held in values.items())
    sets = {"forget": {"role": "forget"}, "holdout": {"role": "holdout"}}
    report = Report("r", {m: MODELS[m] for m in values}, sets, {}, rows)
    return replace(report, **changes)


@pytest.fixture
def small() -> Report:
    return _report(
        {
            "a": {"forget/0": 1.0, "forget/1": 0.9, "forget/2": 0.8},
            "b": {"forget/0": 0.2, "forget/1": 0.9, "forget/2": 0.1},
            "c": {"forget/0": 0.2, "forget/1": 0.2, "forget/2": 0.0},
            "r": {"forget/0": 0.1, "forget/1": 0.1, "forget/2": 0.4},
        }
    )


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unteach.report.page.available", lambda: False)


def test_the_furthest_from_the_retrained_model_come_first(small):
    (view,) = views(small)
    assert [record for record, _, _ in view.rows] == ["forget/1", "forget/2", "forget/0"]
    assert [away for _, away, _ in view.rows] == pytest.approx([0.8, 0.4, 0.1])


def test_without_a_retrained_model_the_model_before_is_the_measure(small):
    (view,) = views(
        replace(small, models={m: about for m, about in MODELS.items() if m != "r"}, scores=small.scores[:3])
    )
    assert [away for _, away, _ in view.rows] == pytest.approx([0.8, 0.8, 0.7])
    assert all(cell.tick is None for _, _, cells in view.rows for cell in cells)


def test_a_bar_is_the_value_and_its_tick_the_retrained_model_s(small):
    (view,) = views(small)
    cells = dict(zip("abcr", view.rows[0][2], strict=True))
    assert {m: (c.value, c.bar, c.tick) for m, c in cells.items()} == {
        "a": (0.9, 90.0, 10.0),
        "b": (0.9, 90.0, 10.0),
        "c": (0.2, 20.0, 10.0),
        "r": (0.1, 10.0, None),
    }


def test_what_is_no_share_is_measured_between_its_ends():
    (view,) = views(_report({"b": {"forget/0": 2.0, "forget/1": 12.0, "forget/2": 7.0}}, "perplexity"))
    assert {record: cells[0].bar for record, _, cells in view.rows} == {"forget/0": 0, "forget/1": 100, "forget/2": 50}
    (flat,) = views(_report({"b": {"forget/0": 7.0}}, "perplexity"))
    assert flat.rows == (("forget/0", None, flat.rows[0][2]),)
    assert flat.rows[0][2][0].bar is None


def test_the_report_s_own_axis_leads_and_at_most_twelve_columns_are_shown():
    rich = made_up.rich()
    assert leading(rich, "forget")[:2] == ("probability", "rougel")
    swapped = replace(rich, axes={"forget": ("forget", "truthratio"), "retain": ("retain", "probability")})
    assert leading(swapped, "forget")[:2] == ("truthratio", "probability")
    by_set = {view.where: view for view in views(rich)}
    assert list(by_set) == list(made_up.SETS)
    assert all(len(view.titles) * len(view.models) <= 12 for view in by_set.values())
    assert len(by_set["forget"].titles) == 3
    many = {f"m{i}": {"role": "edited"} for i in range(20)}
    rows = tuple(
        Row(m, "forget", Score(k, 0.5, per_record={"x": 0.5})) for m in many for k in ("probability", "rougel")
    )
    (wide,) = views(replace(rich, models=many, scores=rows))
    assert len(wide.titles) == 1


def test_an_attack_s_unseen_records_are_no_records_of_the_forget_set():
    held = {"forget/0": 1.0, "holdout/0": 2.0}
    (view,) = views(_report({"b": held}, "mialoss"))
    assert [record for record, _, _ in view.rows] == ["forget/0"]
    assert view.total == 1


def test_missing_and_lost_values_leave_a_gap(small):
    nan = float("nan")
    rows = (
        *small.scores[:1],
        Row("b", "forget", Score("probability", None, per_record={"forget/0": nan, "forget/1": 0.5})),
    )
    page = html(replace(small, scores=rows, models={m: MODELS[m] for m in "ab"}))
    cells = re.findall(r"<bdi>(forget/\d)</bdi></th><td>(.*?)</td><td.*?>(.*?)</td><td.*?>(.*?)</td>", page)
    assert cells == [("forget/1", "0.4", "0.9", "0.5"), ("forget/0", "–", "1", "–"), ("forget/2", "–", "0.8", "–")]
    assert views(made_up.empty()) == ()


@pytest.mark.usefixtures("undrawn")
def test_the_page_heads_every_column_for_a_screen_reader(small):
    page = html(small)
    part = page[page.index('<section id="records"') : page.index('<section id="words"')]
    assert re.findall(r'<th scope="colgroup" colspan="(\d)">', part) == ["4"]
    assert len(re.findall(r'<th scope="col">', part)) == 2 + 4
    assert len(re.findall(r'<th scope="row">', part)) == 3
    assert 'class="bar edited" style="--to:90.0%;--at:10.0%">0.9</td>' in part
    assert "3 records" in part


@pytest.mark.usefixtures("undrawn")
def test_an_unknown_role_is_no_class_of_the_page(small):
    page = html(replace(small, models={**small.models, "b": {"role": 'x" onclick="y'}}))
    assert "onclick" not in page


def test_csv_has_every_value():
    rows = list(csv.reader(StringIO(records_csv(made_up.rich()))))
    assert rows[0] == ["model", "set", "record", "metric", "value"]
    assert len(rows) - 1 == sum(len(row.score.per_record) for row in made_up.rich().scores)
    found = {tuple(row[:4]): float(row[4]) for row in rows[1:]}
    for row in made_up.rich().scores:
        for record, value in row.score.per_record.items():
            assert found[row.model, row.set, record, row.score.name] == value
    assert records_csv(made_up.empty()) == "model,set,record,metric,value\r\n"


def test_csv_survives_hostile_names_and_values():
    rows = list(csv.reader(StringIO(records_csv(made_up.hostile()), newline="")))
    assert {len(row) for row in rows} == {5}
    assert all(not text.lstrip().startswith(("=", "+", "-", "@")) for row in rows for text in row[:4])
    partial = list(csv.reader(StringIO(records_csv(made_up.partial()))))
    assert partial[1:] == [["edited", "forget", "b", "perplexity", "2.0"]]


def test_no_text_of_a_record_reaches_any_of_it():
    texts = (Example("forget", "forget/0000", CANARY, CANARY, dict.fromkeys(made_up.MODELS, CANARY), "leak"),)
    report = replace(made_up.rich(), examples=texts, masked=True)
    assert CANARY not in records_csv(report)
    assert CANARY not in repr(views(report))
    assert CANARY not in "".join(figures(report).values())


def test_records_are_ranked_from_far_above_to_far_below():
    goal = {"w": 0.5, "x": 0.5, "y": 0.5}
    assert ranked({"z": 0.9, "w": 0.1, "x": 0.9, "y": 0.5}, goal) == ["x", "y", "w", "z"]


def test_each_record_is_drawn_from_before_to_after(small):
    pytest.importorskip("matplotlib")
    figure = PLOTS["records"](small)
    assert [axes.get_title("left") for axes in figure.axes] == ["b", "c"]
    panel = figure.axes[0]
    assert panel.get_title("right") == "furthest above: 1, 0"
    stems, before, after, retrained, parting = panel.lines
    points = [(x, y) for x, y in zip(stems.get_xdata(), stems.get_ydata(), strict=True) if not isnan(y)]
    assert points == [(0, 0.9), (0, 0.9), (1, 1.0), (1, 0.2), (2, 0.8), (2, 0.1)]
    assert list(after.get_ydata()) == [0.9, 0.2, 0.1]
    assert _levels(before) == [0.9, 1.0, 0.8]
    assert _levels(retrained) == [0.1, 0.1, 0.4]
    assert list(parting.get_xdata()) == [1.5, 1.5]
    assert "left above retrained" in figure.axes[1].get_xlabel()


def _levels(line) -> list[float]:
    return [y for y in line.get_ydata() if not isnan(y)][::2]


def test_hundreds_of_records_stay_a_light_drawing():
    pytest.importorskip("matplotlib")
    held = {m: {f"forget/{i:04d}": (i % 97) / 97 for i in range(2000)} for m in MODELS}
    drawn = figures(_report(held))["records"]
    assert drawn.count("<use") < 100
    assert len(drawn) < 1_500_000


@pytest.mark.parametrize("roles", ["b", "ab", "br", "abr", "ar", "a"])
def test_whatever_is_missing_is_left_out(roles):
    pytest.importorskip("matplotlib")
    figure = PLOTS["records"](_report({m: {"forget/0": 0.5} for m in roles}))
    assert (figure is not None) == ("b" in roles and len(roles) > 1)  # alone it is compared with nothing
    if figure:
        said = figure.axes[0].get_legend_handles_labels()[1]
        assert said == [w for w, m in (("before", "a"), ("after", "b"), ("retrained", "r")) if m in roles]
