"""Record by record: a view for each set, and every value as CSV. Records are named and never quoted."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO

from unteach.report.clean import clean
from unteach.report.glossary import term
from unteach.report.table import Column, by_model, columns, plane, role_of
from unteach.report.text import plain
from unteach.schema import Report

MOST_RECORDS = 60  # rows of a view; records.csv has them all
MOST_METRICS, MOST_COLUMNS = 3, 12
FIELDS = ("model", "set", "record", "metric", "value")

Values = Mapping[str, float]  # by record


@dataclass(frozen=True)
class Cell:
    """A value; how far it fills its bar, and where on the bar the retrained model's value lies, in per cent."""

    value: float | None
    bar: float | None = None
    tick: float | None = None


@dataclass(frozen=True)
class View:
    """The records of one set under its leading metrics, those furthest from where they should be first.

    `rows` holds of each record its name, its distance on the first metric, and a cell for each metric and model.
    """

    where: str
    titles: tuple[str, ...]
    models: tuple[Column, ...]
    rows: tuple[tuple[str, float | None, tuple[Cell, ...]], ...]
    total: int


def views(report: Report) -> tuple[View, ...]:
    """A view for each set on which something was measured record by record, the sets in the report's order."""
    sets = dict.fromkeys([*report.sets, *(row.set for row in report.scores)])
    return tuple(_view(report, where) for where in sets if leading(report, where))


def leading(report: Report, where: str) -> tuple[str, ...]:
    """The metrics with values of single records of a set: those of the report's axes first, then in its order."""
    axes = [metric for at, metric in plane(report) or () if at == where]
    measured = dict.fromkeys(row.score.name for row in report.scores if row.set == where)
    ordered = sorted(measured, key=lambda metric: metric not in axes)
    return tuple(metric for metric in ordered if any(by_record(report, metric, where).values()))


def by_record(report: Report, metric: str, where: str) -> dict[str, Values]:
    """By model, the values of the set's own records; an attack keeps those of unseen records beside them."""
    return {
        name: {record: value for record, value in score.per_record.items() if _owner(report, record) in (where, "")}
        for name, score in by_model(report, metric, where).items()
    }


def unseen(report: Report, per_record: Values) -> list[float]:
    """The values that an attack kept of the records of holdout sets."""
    return [v for record, v in per_record.items() if role_of(report, _owner(report, record)) == "holdout"]


def reference(report: Report, held: Mapping[str, Values]) -> Values:
    """The values of the retrained model, or else of the model before; nothing where neither has any."""
    found = {column.role: held[column.name] for column in columns(report) if held.get(column.name)}
    return found.get("retrained") or found.get("original") or {}


def records_csv(report: Report) -> str:
    """Every value of every record. An attack's score holds the records of both its sets, under the set it was taken on."""
    held = StringIO()
    writer = csv.writer(held, lineterminator="\r\n")
    writer.writerow(FIELDS)
    for row in clean(report).scores:
        for record, value in row.score.per_record.items():
            writer.writerow([plain(row.model), plain(row.set), plain(record), plain(row.score.name), value])
    return held.getvalue()


def _owner(report: Report, record: str) -> str:
    """The set that a record's name begins with, or nothing where it names none."""
    where = record.rpartition("/")[0]
    return where if where in report.sets else ""


def _view(report: Report, where: str) -> View:
    measured = {metric: by_record(report, metric, where) for metric in leading(report, where)}
    present = [column for column in columns(report) if any(held.get(column.name) for held in measured.values())]
    shown = dict(list(measured.items())[: max(1, min(MOST_METRICS, MOST_COLUMNS // len(present)))])
    away = _away(report, present, next(iter(shown.values())))
    ids = dict.fromkeys(record for held in shown.values() for values in held.values() for record in values)
    first = sorted(ids, key=lambda record: away.get(record, -1.0), reverse=True)[:MOST_RECORDS]
    scales = {metric: _scale(held) for metric, held in shown.items()}
    rows = tuple((record, away.get(record), tuple(_cells(present, shown, scales, record))) for record in first)
    return View(where, tuple(term(metric).title for metric in shown), tuple(present), rows, len(ids))


def _away(report: Report, models: list[Column], held: Mapping[str, Values]) -> dict[str, float]:
    """How far the edited models lie from the reference: of each record, the furthest of them."""
    goal = reference(report, held)
    gaps = [
        (record, abs(value - goal[record]))
        for column in models
        if column.role == "edited"
        for record, value in held.get(column.name, {}).items()
        if record in goal
    ]
    return dict(sorted(gaps, key=lambda pair: pair[1]))


def _scale(held: Mapping[str, Values]) -> tuple[float, float]:
    """The ends of a metric's bars: 0 and 1 where all values are shares, else the least and the greatest value."""
    values = [value for found in held.values() for value in found.values()]
    low, high = min(values), max(values)
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def _cells(
    models: list[Column],
    shown: Mapping[str, Mapping[str, Values]],
    scales: Mapping[str, tuple[float, float]],
    record: str,
) -> Iterator[Cell]:
    retrained = next((column.name for column in models if column.role == "retrained"), "")
    for metric, held in shown.items():
        goal = held.get(retrained, {}).get(record)
        for column in models:
            value = held.get(column.name, {}).get(record)
            tick = _place(goal, scales[metric]) if column.name != retrained else None
            yield Cell(value, _place(value, scales[metric]), tick if value is not None else None)


def _place(value: float | None, scale: tuple[float, float]) -> float | None:
    low, high = scale
    if value is None or not high > low:
        return None
    return round(100 * (value - low) / (high - low), 1)
