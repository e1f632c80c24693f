"""A comparison in few numbers from 0 to 1, where 1 is best: a summary, which hides what each number is made of."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from statistics import fmean

from unteach.report.clean import clean
from unteach.report.table import columns, plane, role_of
from unteach.report.text import plain
from unteach.schema import Report

FIELDS = ("model", "axis", "share", "value", "what", "runs")
COIN = 0.5
NEAR = 1e-9  # an original this near to the retrained model leaves no way to go
Found = tuple[float, float, str]  # the share from 0 to 1, the value that it comes from, what that is


@dataclass(frozen=True)
class Spoke:
    """One method on one axis: means over `runs` of a share from 0 (worst) to 1 (best) and of the value behind it."""

    model: str
    axis: str
    share: float
    value: float
    what: str
    runs: int


def spokes(reports: Mapping[int, Report]) -> tuple[Spoke, ...]:
    """Every edited model on every axis that all of them have a value on, in every run."""
    runs = [clean(report) for _, report in sorted(reports.items())]
    names = [c.name for c in columns(runs[0]) if c.role == "edited"]
    found = []
    for axis, ask in AXES.items():
        held = {name: [ask(report, name) for report in runs] for name in names}
        if all(None not in values for values in held.values()):
            found += [_spoke(name, axis, [v for v in values if v is not None]) for name, values in held.items()]
    return tuple(found)


def spokes_csv(found: tuple[Spoke, ...]) -> str:
    """One line a model and axis."""
    held = StringIO()
    writer = csv.writer(held, lineterminator="\r\n")
    writer.writerow(FIELDS)
    for s in found:
        writer.writerow([plain(s.model), s.axis, s.share, s.value, plain(s.what), s.runs])
    return held.getvalue()


def _spoke(name: str, axis: str, values: list[Found]) -> Spoke:
    return Spoke(name, axis, fmean(v[0] for v in values), fmean(v[1] for v in values), values[0][2], len(values))


def _forget(report: Report, model: str) -> Found | None:
    """How far of the way from the original to the retrained model, on either side of it."""
    pairs = plane(report)
    if pairs is None:
        return None
    now, was, goal = (
        _value(report, *pairs[0], m) for m in (model, _named(report, "original"), _named(report, "retrained"))
    )
    if now is None or was is None or goal is None or abs(was - goal) < NEAR:
        return None
    return _within(1 - abs(now - goal) / abs(was - goal)), abs(now - goal), f"distance to retrained, {pairs[0][1]}"


def _retain(report: Report, model: str) -> Found | None:
    pairs = plane(report)
    return _kept(report, model, *pairs[1]) if pairs and role_of(report, pairs[1][0]) == "retain" else None


def _general(report: Report, model: str) -> Found | None:
    pairs = plane(report)
    where = next((s for s in report.sets if role_of(report, s) == "general"), None)
    return _kept(report, model, where, pairs[1][1]) if pairs and where else None


def _kept(report: Report, model: str, where: str, metric: str) -> Found | None:
    now, was = (_value(report, where, metric, m) for m in (model, _named(report, "original")))
    return None if now is None or not was else (_within(now / was), now / was, f"share of the original's, {metric}")


def _privacy(report: Report, model: str) -> Found | None:
    """How near the membership guess is to the retrained model's, or to a coin where there is none."""
    forget = [s for s in report.sets if role_of(report, s) == "forget"]
    for where in forget:
        leak = _value(report, where, "privleak", model)
        if leak is not None:
            return _within(1 - abs(leak) / 100), leak, "privleak"
    for where in forget:
        area, goal = (_value(report, where, "mialoss", m) for m in (model, _named(report, "retrained")))
        if area is not None:
            return _within(1 - 2 * abs(area - (COIN if goal is None else goal))), area, "mialoss"
    return None


def _robustness(report: Report, model: str) -> Found | None:
    """What the worst attack brings back beyond the retrained model."""
    excess = [f.excess for f in report.attacks if f.model == model and f.excess is not None]
    return (_within(1 - max(excess)), max(excess), "greatest excess of an attack") if excess else None


def _cost(report: Report, model: str) -> Found | None:
    """The seconds of the quickest as a share of these; the one axis that depends on who else is there."""
    said = {c.name: report.environment.get(f"training seconds of {c.name}") for c in columns(report)}
    known = {name: float(s) for name, s in said.items() if isinstance(s, int | float) and s > 0}
    return (min(known.values()) / known[model], known[model], "seconds of training") if model in known else None


AXES: Mapping[str, Callable[[Report, str], Found | None]] = {
    "forget": _forget,
    "retain": _retain,
    "general": _general,
    "privacy": _privacy,
    "robustness": _robustness,
    "cost": _cost,
}


def _named(report: Report, role: str) -> str:
    return next((name for name, about in report.models.items() if about.get("role") == role), "")


def _value(report: Report, where: str, metric: str, model: str) -> float | None:
    return next(
        (r.score.value for r in report.scores if (r.set, r.score.name, r.model) == (where, metric, model)), None
    )


def _within(share: float) -> float:
    return min(1.0, max(0.0, share))
