"""Which metric tells knowledge from none, and which cheat fools it.

A metric exposes a model where its value lies outside the middle 95 % of the retrained references'. That band is all
that is calibrated here, and no cheat has a part in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.meta_audit.judging import Heard, Judged
from benchmarks.meta_audit.pool import NO_CHEATS
from benchmarks.meta_audit.unseen import LATER
from unteach.audit.statistics import auc

Key = tuple[str, str]  # set, metric
KNOWING = (  # cheats that take nothing away
    "no-op", "temperature", "spoiled token", "name filter", "output filter", "removable adapter", "masked name",
    "undone by rounding", "one wording", "other language",
)  # fmt: skip
ROUNDING = 1e-9


@dataclass(frozen=True)
class Line:
    """One metric on one set: the references' band, what it tells apart, and the share of each family that it exposes.

    `auc` is the chance that an original (or one on which nothing was done) shows more than a reference, `among_cheats`
    the same for cheats that took nothing away; a family is missing where the metric has no value for it.
    `false_alarms` is the share of references outside the band of all others.
    """

    set: str
    metric: str
    low: float
    high: float
    auc: float
    among_cheats: float | None
    false_alarms: float
    exposed: Mapping[str, float]


def lines(pool: Sequence[Heard]) -> list[Line]:
    """Every metric that has a value for originals and for references and is not the same for all of them."""
    values = {h.member.name: h.values() for h in pool}
    families: dict[str, list[Mapping[Key, float]]] = {}
    for h in pool:
        families.setdefault(h.member.family, []).append(values[h.member.name])
    keys = dict.fromkeys(key for h in pool for key in values[h.member.name])
    return [line for key in keys if (line := _line(key, families)) is not None]


def _line(key: Key, families: Mapping[str, Sequence[Mapping[Key, float]]]) -> Line | None:
    of = {family: [v[key] for v in found if key in v] for family, found in families.items()}
    references, originals = of["retrained"], of["original"]
    if len(references) < 3 or not originals or len({*references, *originals}) < 2:
        return None
    low, high = band(references)
    up = 1.0 if np.mean(originals) >= np.mean(references) else -1.0

    def apart(known: Sequence[float]) -> float:
        return auc([up * v for v in references], [up * v for v in known])

    knowing = [v for family in KNOWING for v in of.get(family, ())]
    outside = {f: float(np.mean([not low <= v <= high for v in found])) for f, found in of.items() if found}
    alarms = [not _within(v, references[:i] + references[i + 1 :]) for i, v in enumerate(references)]
    return Line(
        *key, low, high, apart([*originals, *of.get("no-op", ())]), apart(knowing) if knowing else None,
        float(np.mean(alarms)), outside,
    )  # fmt: skip


def band(values: Sequence[float]) -> tuple[float, float]:
    """The middle 95 % of some values."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low) - ROUNDING, float(high) + ROUNDING


def _within(value: float, others: Sequence[float]) -> bool:
    low, high = band(others)
    return low <= value <= high


def gates(judged: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """Of each gate of the verdict how often it did not hold, by family: the mean over models and references."""
    found: dict[str, dict[str, list[float]]] = {}
    names = dict.fromkeys(name for j in judged for name in j.failed)
    for name in names:
        for j in judged:
            found.setdefault(name, {}).setdefault(j.member.family, []).append(j.failed[name] / j.judged)
    return {name: {f: float(np.mean(v)) for f, v in by.items()} for name, by in found.items()}


def flagged(judged: Sequence[Judged]) -> dict[str, float]:
    """The share of verdicts other than forgotten, by family."""
    by: dict[str, list[float]] = {}
    for j in judged:
        by.setdefault(j.member.family, []).append(1 - j.passed / j.judged)
    return {family: float(np.mean(shares)) for family, shares in by.items()}


def left_out(judged: Sequence[Judged], most_alarms: float = 0.05) -> dict[str, tuple[tuple[str, ...], float]]:
    """Of each family of cheats what the gates expose that all other families would have made one choose.

    Gates are chosen greedily, each for the cheats it exposes beside more than half of the references and no chosen one
    does, until all other families are exposed; none that flags more than `most_alarms` of the references is chosen.
    """
    cheats = [j for j in judged if j.member.family not in (*NO_CHEATS, *LATER)]
    references = [j for j in judged if j.member.family == "retrained"]
    sound = [n for n in dict.fromkeys(n for j in cheats for n in j.failed)
             if np.mean([j.failed[n] / j.judged for j in references]) <= most_alarms]  # fmt: skip
    found = {}
    for family in dict.fromkeys(j.member.family for j in cheats):
        chosen = _chosen(sound, [j for j in cheats if j.member.family != family])
        own = [j for j in cheats if j.member.family == family]
        found[family] = tuple(chosen), float(np.mean([any(_fails(j, n) for n in chosen) for j in own]))
    return found


def _chosen(names: Sequence[str], cheats: Sequence[Judged]) -> list[str]:
    chosen: list[str] = []
    rest = list(cheats)
    while rest and names:
        best = max(names, key=lambda n: sum(_fails(j, n) for j in rest))
        caught = [j for j in rest if _fails(j, best)]
        if not caught:
            break
        chosen.append(best)
        rest = [j for j in rest if j not in caught]
    return chosen


def _fails(judged: Judged, gate: str) -> bool:
    return judged.failed[gate] > judged.judged / 2
