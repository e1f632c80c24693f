"""The figure of the loss attack: what it finds against what it accuses by mistake."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from unteach.report.drawing import INK, logarithmic, panels, strokes
from unteach.report.records import by_record, unseen
from unteach.report.table import by_model, recorded
from unteach.report.words import number
from unteach.schema import Report, Score

ATTACK = "mialoss"
LEAST = 1e-3  # rates below it are not drawn, however many records there are

Points = tuple[list[float], list[float]]


def roc(report: Report) -> Any:
    """Receiver operating characteristic of the loss attack, one line a model, on logarithmic axes.

    A record is called a member when its loss is below the threshold. Between two thresholds the line stays level,
    and at the left edge stands what is found without any false alarm. n unseen records cannot show a rate of false
    alarms below 1/n: that part is shaded. Carlini et al. 2022, arXiv:2112.03570, sec. 3.
    """
    where = recorded(report, "forget", ATTACK)
    if where is None:
        return None
    scores = by_model(report, ATTACK, where)
    members = {name: list(values.values()) for name, values in by_record(report, ATTACK, where).items()}
    others = {name: unseen(report, scores[name].per_record) for name in scores}
    models = [name for name in strokes(report) if members.get(name) and others.get(name)]
    if not models:
        return None
    found, accused = (min(len(held[name]) for name in models) for held in (members, others))
    figure, (axes,) = panels(1, height=4.3)
    axes.set(xlim=(_edge(accused), 1), ylim=(_edge(found), 1.12))
    axes.plot((LEAST, 1), (LEAST, 1), color=INK, alpha=0.45, linewidth=0.9, linestyle=(0, (2, 2)))
    said = f"share of {accused} unseen records accused"
    if 1 / accused > LEAST:
        axes.axvspan(_edge(accused), 1 / accused, color=INK, alpha=0.09, linewidth=0)
        said += f"\n(shaded: below 1 in {accused}, which they cannot show)"
    for name in models:
        stroke = strokes(report)[name]
        xs, ys = operating(members[name], others[name])
        axes.plot(
            [max(x, _edge(accused)) for x in xs], [max(y, LEAST / 10) for y in ys], drawstyle="steps-post",
            color=stroke.colour, linestyle=stroke.dash, label=f"{stroke.label}, {_area(scores[name])}",
        )  # fmt: skip
    logarithmic(axes, "xy")
    axes.set_xlabel(said)
    axes.set_ylabel(f"share of {found} forget records found")
    figure.legend(loc="outside upper left", frameon=False, fontsize=9.5, handlelength=2.6, borderaxespad=0.1)
    return figure


def operating(members: Sequence[float], others: Sequence[float]) -> Points:
    """False-alarm rates, rising from 0 to 1, and the largest share of members found at each."""
    inside, outside = sorted(members), sorted(others)
    best = {0.0: 0.0}
    for bar in sorted({*members, *others}):
        best[bisect_right(outside, bar) / len(outside)] = bisect_right(inside, bar) / len(inside)
    return list(best), list(best.values())


def _edge(count: int) -> float:
    """Where an axis begins: a little below the smallest rate that so many records can show."""
    return max(LEAST, 1 / (2 * count))


def _area(score: Score) -> str:
    if score.value is None:
        return "AUC not defined"
    bounds = f" ({number(score.low)} to {number(score.high)})" if None not in (score.low, score.high) else ""
    return f"AUC {number(score.value)}{bounds}"
