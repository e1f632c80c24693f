"""The figure of single records: each from its value before to its value after, beside the retrained model's."""

from collections.abc import Iterable, Sequence
from math import nan
from typing import Any

from unteach.report.drawing import COLOURS, INK, head, panels
from unteach.report.glossary import term
from unteach.report.records import Values, by_record, leading, reference
from unteach.report.table import columns, role_of
from unteach.report.visible import one_line
from unteach.schema import Report

NAMED = 3  # records called by their names, in each panel
SINGLE = 80  # up to so many records each has a marker; beyond, a dash


def records(report: Report) -> Any:
    """A panel for each edited model: the records of the first forget set, sorted by how far they are from the goal.

    The goal is the retrained model's value or, without one, the value before. Furthest above it stands left; the
    dotted line parts what lies above from what lies below.
    """
    where = next((s for s in report.sets if role_of(report, s) == "forget" and leading(report, s)), None)
    if where is None:
        return None
    metric = leading(report, where)[0]
    held = by_record(report, metric, where)
    models = [column for column in columns(report) if column.role == "edited" and held.get(column.name)]
    goal = reference(report, held)
    if not models or not goal:
        return None
    by_role = {column.role: held[column.name] for column in columns(report) if column.name in held}
    figure, rows = panels(len(models), height=1.1 + 1.25 * len(models))
    for axes, column in zip(rows, models, strict=True):
        after = held[column.name]
        order = ranked(after, goal)
        _draw(axes, order, by_role.get("original", {}), after, by_role.get("retrained", {}))
        above = [record for record in order if after[record] > goal.get(record, after[record])]
        head(axes, one_line(column.label, 26))
        axes.axvline(len(above) - 0.5, color=INK, alpha=0.45, linewidth=0.9, linestyle=(0, (2, 2)))
        if above:
            names = ", ".join(one_line(record.removeprefix(f"{where}/"), 10) for record in above[:NAMED])
            axes.set_title(f"furthest above: {names}", loc="right", fontsize=8.5, pad=3)
        axes.set_xticks([])
        axes.margins(x=0.02, y=0.08)
    against = "retrained" if by_role.get("retrained") else "before"
    rows[-1].set_xlabel(f"records of {one_line(where, 16)}: left above {against}, right below it")
    figure.supylabel(one_line(term(metric).title, 40).lower(), fontsize=9.5)
    figure.legend(
        *rows[0].get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False, fontsize=9.5,
        handlelength=1.6, columnspacing=1.2, borderaxespad=0.1,
    )  # fmt: skip
    return figure


def ranked(after: Values, goal: Values) -> list[str]:
    """The records, furthest above the goal first; those without a goal come last."""
    return sorted(after, key=lambda record: (record not in goal, goal.get(record, 0.0) - after[record]))


def _draw(axes: Any, order: Sequence[str], before: Values, after: Values, retrained: Values) -> None:
    """Told apart without colour too: after is thick, before ends the stem, retrained is thin and on no stem."""
    few = len(order) <= SINGLE
    ends = [(i, before[r], after[r]) for i, r in enumerate(order) if r in before]
    if ends:
        stems = [point for i, low, high in ends for point in ((i, low), (i, high), (i, nan))]
        axes.plot(*zip(*stems, strict=True), color=COLOURS["grey"], linewidth=1.0 if few else 0.6, alpha=0.6)
        _dashes(axes, [(i, low) for i, low, _ in ends], COLOURS["grey"], 1.0, "before")
    places = [(i, after[record]) for i, record in enumerate(order)]
    if few:
        xs, ys = zip(*places, strict=True)
        axes.plot(xs, ys, color=COLOURS["blue"], linestyle="", marker="D", markersize=3.6, label="after")
    else:
        _dashes(axes, places, COLOURS["blue"], 3.0, "after")
    goals = [(i, retrained[record]) for i, record in enumerate(order) if record in retrained]
    if goals:
        _dashes(axes, goals, COLOURS["green"], 1.3, "retrained")


def _dashes(axes: Any, places: Iterable[tuple[int, float]], colour: str, wide: float, name: str) -> None:
    """A level dash at each place, as one line with gaps: hundreds of markers would make a page heavy."""
    points = [point for i, y in places for point in ((i - 0.4, y), (i + 0.4, y), (i, nan))]
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=wide, label=name)
