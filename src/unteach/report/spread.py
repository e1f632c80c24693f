"""The same forgetting over several seeds: mean and standard deviation of every score, beside those of retraining.

Two models that were retrained with different seeds are not alike either. Their spread is the noise floor: a
difference to the retrained model that is smaller than it says nothing about the method.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, stdev
from typing import Any, Literal

from unteach.report.clean import clean
from unteach.report.table import SET_ORDER, Column, columns, rank, role_of
from unteach.report.visible import one_line
from unteach.schema import Direction, InputError, Report, Score

Finding = Literal["equivalent", "different", "not decided"]
CHANGES = ("seed", "edit")  # what the settings of two runs may differ in

Key = tuple[str, str, str]  # set, metric, model


@dataclass(frozen=True)
class Equivalence:
    """Whether the mean over seeds lies within a margin of the retrained models' mean, and what that follows from.

    `low` and `high` bound the 90 % interval of the difference; `p` is the larger of the two one-sided p.
    """

    finding: Finding
    margin: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Spread:
    """One metric of one model on one set over the seeds; `values` holds what each distinct model scored, by seed."""

    set: str
    metric: str
    model: Column
    direction: Direction
    values: Mapping[int, float]
    undefined: int = 0
    repeated: int = 0
    test: Equivalence | None = None

    @property
    def n(self) -> int:
        """How many models the mean is taken over."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Their mean; None where no run has a value."""
        return fmean(self.values.values()) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Their standard deviation, with n - 1 in the denominator; None for fewer than two."""
        return stdev(self.values.values()) if self.n > 1 else None

    @property
    def note(self) -> str:
        """What the numbers leave out."""
        said = {"without a value": self.undefined, "with a model that is counted already": self.repeated}
        return "; ".join(f"{k} {'run' if k == 1 else 'runs'} {what}" for what, k in said.items() if k)


@dataclass(frozen=True)
class Seeds:
    """The runs' seeds, and a spread for each set, metric and model, in reading order."""

    seeds: tuple[int, ...]
    spreads: tuple[Spread, ...]

    def blocks(self) -> Iterator[tuple[str, str, tuple[Spread, ...], Spread | None]]:
        """(set, metric, the models' spreads, that of the retrained models or None)."""
        for (where, metric), found in groupby(self.spreads, key=lambda s: (s.set, s.metric)):
            block = tuple(found)
            yield where, metric, block, next((s for s in block if s.model.role == "retrained"), None)


def seeds(reports: Mapping[int, Report]) -> Seeds:
    """The scores of runs that differ in their seed alone.

    A model that stands in several runs with one digest (a single original, a single retrained model) counts once: it
    has no spread over seeds, however often it was asked. A score without a value is left out of the mean and counted.
    Raises `InputError` where the runs have other models, sets or settings.
    """
    if not reports:
        raise InputError("there is no run to compare; name the folders of at least two")
    runs = {seed: clean(report) for seed, report in sorted(reports.items())}
    first = next(iter(runs.values()))
    for seed, report in runs.items():
        _comparable(first, report, f"the runs of seeds {next(iter(runs))} and {seed}")
    scores = {seed: {(r.set, r.score.name, r.model): r.score for r in report.scores} for seed, report in runs.items()}
    sets = sorted(first.sets, key=lambda where: rank(role_of(first, where), SET_ORDER))
    pairs = dict.fromkeys(key[:2] for held in scores.values() for key in held)
    spreads = (
        _spread(runs, scores, (where, metric, column.name), column)
        for where, metric in sorted(pairs, key=lambda pair: rank(pair[0], tuple(sets)))
        for column in columns(first)
        if any((where, metric, column.name) in held for held in scores.values())
    )
    return Seeds(tuple(runs), tuple(spreads))


def _comparable(one: Report, other: Report, which: str) -> None:
    for what, key in (("models", "role"), ("sets", "role")):
        mine, theirs = ({n: about.get(key) for n, about in getattr(r, what).items()} for r in (one, other))
        if mine != theirs:
            raise InputError(f"{which} have other {what}; name runs that differ in their seed alone")
    known = [k for k in {**one.method, **other.method} if k not in CHANGES]
    unlike = [one_line(k, 40) for k in known if one.method.get(k) != other.method.get(k)]
    if unlike:
        raise InputError(f"{which} differ in the setting {unlike[0]}; name runs that differ in their seed alone")


def _spread(runs: Mapping[int, Report], scores: Mapping[int, Mapping[Key, Score]], key: Key, column: Column) -> Spread:
    values: dict[int, float] = {}
    known: set[Any] = set()
    undefined = repeated = 0
    for seed, report in runs.items():
        score = scores[seed].get(key)
        digest = report.models.get(column.name, {}).get("digest")
        asked = (digest, report.sets.get(key[0], {}).get("digest"))
        if digest and asked in known:
            repeated += 1
        elif score is None or score.value is None:
            undefined += 1
        else:
            values[seed] = score.value
        known.add(asked)
    direction = next(held[key].direction for held in scores.values() if key in held)
    return Spread(key[0], key[1], column, direction, values, undefined, repeated)
