"""The curve of the loss attack is the attack's own counts, and shows no rate that so few records cannot show."""

from dataclasses import replace
from random import Random

import made_up
import pytest
from sklearn.metrics import roc_curve

from unteach.report import figures
from unteach.report.plots import PLOTS
from unteach.report.roc import operating
from unteach.schema import Report, Row, Score

pytest.importorskip("matplotlib")


def _report(members: list[float], others: list[float], value: float | None = 0.5) -> Report:
    losses = {f"forget/{i:04d}": v for i, v in enumerate(members)} | {f"unseen/{i}": v for i, v in enumerate(others)}
    return Report(
        "roc",
        {"m": {"role": "edited"}},
        {"forget": {"role": "forget"}, "unseen": {"role": "holdout"}},
        {},
        (Row("m", "forget", Score("mialoss", value, per_record=losses)),),
    )


def _axes(report: Report):
    return PLOTS["roc"](report).axes[0]


def test_the_points_are_the_counts_below_each_threshold():
    draw = Random(3)
    members = [round(draw.gauss(0, 1), 1) for _ in range(50)]
    others = [round(draw.gauss(0.7, 1), 1) for _ in range(30)]
    rates, found = operating(members, others)
    assert rates == sorted(set(rates))
    assert (rates[0], rates[-1], found[-1]) == (0.0, 1.0, 1.0)
    for rate, share in zip(rates, found, strict=True):
        caught = [
            sum(m < bar for m in members) / 50
            for bar in {*members, *others, 9.0}
            if sum(o < bar for o in others) / 30 <= rate
        ]
        assert share == max(caught)


def test_the_area_under_the_points_is_the_report_s_own_area():
    members, others = [0.1, 0.4, 0.4001, 0.9], [0.3, 0.5, 0.8]  # without ties a staircase has the area exactly
    rates, found = operating(members, others)
    area = sum(share * (b - a) for share, a, b in zip(found, rates, rates[1:], strict=False))
    assert area == pytest.approx(sum(m < o for m in members for o in others) / 12)


def test_the_points_are_the_upper_ones_of_scikit_learn():
    draw = Random(2)
    members, others = ([draw.randint(0, 12) / 4 for _ in range(n)] for n in (23, 17))  # many ties
    alarms, shares, _ = roc_curve([1] * 23 + [0] * 17, [-x for x in (*members, *others)], drop_intermediate=False)
    upper = {float(x): float(max(shares[alarms == x])) for x in alarms}
    assert dict(zip(*operating(members, others), strict=True)) == pytest.approx(upper)


def test_the_axes_are_logarithmic_and_what_n_cannot_show_is_shaded():
    axes = _axes(_report([0.1, 0.2, 0.3], [0.15, 0.25, 0.35, 0.45]))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlim() == (1 / 8, 1)
    (shade,) = axes.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (1 / 8, 1 / 4)
    assert "share of 4 unseen records accused\n(shaded: below 1 in 4" in axes.get_xlabel()
    many = _axes(_report([0.1] * 3, [0.2] * 5000))
    assert many.get_xlim() == (1e-3, 1)
    assert not many.patches
    assert many.get_xlabel() == "share of 5000 unseen records accused"


def test_a_diagonal_says_what_guessing_is():
    diagonal = _axes(_report([0.1], [0.2])).lines[0]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())


@pytest.mark.parametrize(("value", "said"), [(0.8125, "m, AUC 0.812"), (None, "m, AUC not defined")])
def test_the_legend_has_the_area(value, said):
    axes = _axes(_report([0.1, 0.2], [0.3, 0.4], value))
    assert axes.get_legend_handles_labels()[1] == [said]


def test_the_interval_stands_with_the_area():
    assert "gradient ascent, AUC 0.44 (0.369 to 0.511)" in figures(made_up.rich())["roc"]


def test_one_row_on_each_side_is_drawn():
    line = _axes(_report([0.1], [0.2])).lines[1]
    assert list(line.get_ydata()) == [1.0, 1.0]


def test_without_unseen_records_there_is_no_figure():
    calm = _report([0.1, 0.2], [])
    assert PLOTS["roc"](calm) is None
    assert PLOTS["roc"](replace(_report([0.1], [0.2]), sets={"forget": {"role": "forget"}})) is None
    assert PLOTS["roc"](_report([], [0.1, 0.2])) is None


def test_a_model_without_values_is_left_out():
    report = _report([0.1, 0.2], [0.3, 0.4])
    rows = (*report.scores, Row("guarded", "forget", Score("mialoss", None, note="a guard hides it")))
    assert _axes(replace(report, scores=rows)).get_legend_handles_labels()[1] == ["m, AUC 0.5"]


def test_unseen_records_may_lie_in_several_sets():
    report = _report([0.1, 0.2], [0.3, 0.4])
    (row,) = report.scores
    more = replace(row.score, per_record={**row.score.per_record, "other/0000": 0.05})
    report = replace(report, sets={**report.sets, "other": {"role": "holdout"}}, scores=(replace(row, score=more),))
    assert "share of 3 unseen records" in _axes(report).get_xlabel()
