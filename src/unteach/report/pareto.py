"""What several methods forget and keep, part by part of their edits: points over seeds, and those that none beats.

A method is a curve: its edit is put on in parts, alpha from 0 to 1. A point beats another where it is no farther from the
retrained model's forget score and keeps no less, and is better in one of the two. Without a retrained model the less is
known of what had to go, the better. Fronts are of means over seeds, so that one lucky seed makes no front.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from itertools import groupby
from statistics import fmean

from unteach.report.table import columns, role_of
from unteach.report.text import plain
from unteach.schema import Report

FIELDS = ("model", "role", "seed", "alpha", "forget", "retain", "equal", "front", "runs")
ORIGINAL, RETRAINED, EDITED = "original", "retrained", "edited"


@dataclass(frozen=True)
class Point:
    """A model on the plane; `seed` is None for a mean over `runs`, `alpha` the part of the edit where it is a part.

    `equal` marks the part at which methods keep equally much, `front` what no other point beats.
    """

    model: str
    role: str
    forget: float
    retain: float
    seed: int | None = None
    alpha: float | None = None
    equal: bool = False
    front: bool = False
    runs: int = 1


def plane_points(reports: Mapping[int, Report]) -> tuple[Point, ...]:
    """Every point of every seed, then their means, among which the front is marked."""
    singles = [point for seed, report in sorted(reports.items()) for point in _of_report(seed, report)]
    means = [_mean(group) for group in _alike(singles)]
    goal = next((p.forget for p in means if p.role == RETRAINED), None)
    running = [p for p in means if p.role == EDITED and p.alpha != 0]
    places = [(p.forget if goal is None else abs(p.forget - goal), p.retain) for p in running]
    ahead = {id(p) for p, first in zip(running, front(places), strict=True) if first}
    return (*singles, *(replace(p, front=id(p) in ahead) for p in means))


def front(places: Sequence[tuple[float, float]]) -> list[bool]:
    """Which (loss, gain) no other beats by a smaller loss or a greater gain without being worse in the other."""
    found = [False] * len(places)
    best = float("-inf")
    order = sorted(range(len(places)), key=lambda i: places[i][0])
    for _, same in groupby(order, key=lambda i: places[i][0]):
        group = list(same)
        most = max(places[i][1] for i in group)
        if most > best:
            best = most
            for i in group:
                found[i] = places[i][1] == most
    return found


def points_csv(points: Sequence[Point]) -> str:
    """One line a point; means over seeds have no seed."""
    held = StringIO()
    writer = csv.writer(held, lineterminator="\r\n")
    writer.writerow(FIELDS)
    for p in points:
        marks = ("yes" if p.equal else "", "yes" if p.front else "")
        writer.writerow([plain(p.model), p.role, p.seed, p.alpha, p.forget, p.retain, *marks, p.runs])
    return held.getvalue()


def _of_report(seed: int, report: Report) -> Iterator[Point]:
    """The curves of one run; where a model has none, its scores in the curves' measure."""
    curves = {m: [p for p in held if p.keys() >= {"alpha", "forget", "retain"}] for m, held in report.mixing.items()}
    scored = _scored(report)
    start = next(((p["forget"], p["retain"]) for held in curves.values() for p in held if p["alpha"] == 0), None)
    for column in columns(report):
        name, role = column.name, column.role
        place = scored.get(name) or (start if role == ORIGINAL else None)
        for p in curves.get(name, ()):
            yield Point(name, role, p["forget"], p["retain"], seed, p["alpha"], bool(p.get("equal")))
        if not curves.get(name) and place is not None:
            yield Point(name, role, *place, seed, equal=role == EDITED)


def _scored(report: Report) -> dict[str, tuple[float, float]]:
    measure = report.method.get("measure")
    sides: dict[str, dict[str, float]] = {"forget": {}, "retain": {}}
    for row in report.scores:
        role = role_of(report, row.set)
        if row.score.name == measure and role in sides and row.score.value is not None:
            sides[role].setdefault(row.model, row.score.value)
    return {m: (value, sides["retain"][m]) for m, value in sides["forget"].items() if m in sides["retain"]}


def _alike(points: Sequence[Point]) -> Iterator[list[Point]]:
    """The same model at the same part over all its seeds, and those at equal retention together, whatever their parts."""
    groups: dict[tuple[str, float | None, bool], list[Point]] = {}
    for p in points:
        for equal in {False, p.equal}:
            groups.setdefault((p.model, None if equal else p.alpha, equal), []).append(p)
    seeds = {p.model: {q.seed for q in points if q.model == p.model} for p in points}
    for (model, _, equal), group in groups.items():
        repeated = not equal and all(p.equal for p in group)
        if (
            not repeated and {p.seed for p in group} == seeds[model]
        ):  # over fewer seeds it is no point of the same curve
            yield [replace(p, equal=equal) for p in group]


def _mean(group: Sequence[Point]) -> Point:
    alphas = [p.alpha for p in group if p.alpha is not None]
    return replace(
        group[0], seed=None, runs=len(group), alpha=round(fmean(alphas), 4) if alphas else None,
        forget=fmean(p.forget for p in group), retain=fmean(p.retain for p in group),
    )  # fmt: skip
