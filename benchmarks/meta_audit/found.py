"""What the pool shows: the figures that are promised, and all that they rest on, as JSON."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.figures import Figure, circumstances
from benchmarks.meta_audit.asking import ATTACKS, METRICS, UNFIT
from benchmarks.meta_audit.enduring import Endured, endured
from benchmarks.meta_audit.judging import Judged, heard, judge_all
from benchmarks.meta_audit.matrix import Line, flagged, gates, left_out, lines
from benchmarks.meta_audit.pool import NO_CHEATS, Member
from benchmarks.meta_audit.unseen import LATER
from benchmarks.meta_audit.world import World
from unteach.report.atomic import folder, put

BESIDE = 12  # references that each model is judged beside, one after another
MINUTES = 60


@dataclass(frozen=True)
class FoundOut:
    """Everything that the page and the figure are made of."""

    figures: Sequence[Figure]
    judged: Sequence[Judged]
    by_scores: Sequence[Judged]
    lines: Sequence[Line]
    endured: Sequence[Endured]
    unfit: Sequence[str]
    left_out: Mapping[str, tuple[tuple[str, ...], float]]

    @property
    def flagged(self) -> Mapping[str, float]:
        """The share of verdicts other than forgotten, by family."""
        return flagged(self.judged)

    @property
    def attacks(self) -> Mapping[str, Mapping[str, float]]:
        """The share of each family that gives way to each attack beyond the references."""
        failed = gates(self.judged)
        return {name: failed.get(f"attack {name}", dict.fromkeys(self.flagged, 0.0)) for name, _ in ATTACKS}


def found_out(members: Sequence[Member], world: World, out: Path) -> FoundOut:
    """Judge every model, and look at every metric."""
    pool = heard(members, out)
    plain, judged = judge_all(pool, world.roles, beside=BESIDE)
    scored = lines(pool)
    valued = {line.metric for line in scored}
    return FoundOut(
        [*_rates(judged), *_minutes(out)], judged, plain, scored,
        endured(members, out), sorted({*UNFIT, *(m for m in METRICS if m not in valued)}), left_out(judged),
    )  # fmt: skip


def _rates(judged: Sequence[Judged]) -> list[Figure]:
    later = [j for j in judged if j.member.family in LATER]
    cheats = [j for j in judged if j.member.family not in (*NO_CHEATS, *LATER)]
    references = [j for j in judged if j.member.family == "retrained"]
    unclear = [j.words["inconclusive"] / j.judged for j in references]
    return [
        _rate("cheats flagged, beside three references", _together(cheats), 1.0),
        _rate("cheats drawn up after the last gate flagged, beside three references", _together(later), 1.0),
        _rate("retrained references flagged, beside three others", _together(references), 0.05, up=False),
        _rate("cheats flagged, beside one reference", _alone(cheats), 1.0),
        _rate("cheats drawn up after the last gate flagged, beside one reference", _alone(later), 1.0),
        _rate("retrained references flagged, beside one other", _alone(references), 0.05, up=False),
        _rate("retrained references, beside one other: inconclusive", unclear, 0.05, up=False),
    ]


def _together(some: Sequence[Judged]) -> list[float]:
    """The share of panels of three references that flag each model; a reference that nobody can tell is not flagged."""
    return [1 - sum(j.panels[w] for w in _passing(j)) / j.panels.total() for j in some]


def _alone(some: Sequence[Judged]) -> list[float]:
    return [1 - sum(j.words[w] for w in _passing(j)) / j.judged for j in some]


def _passing(judged: Judged) -> tuple[str, ...]:
    return ("forgotten", "inconclusive") if judged.member.family == "retrained" else ("forgotten",)


def _rate(what: str, shares: Sequence[float], goal: float, *, up: bool = True) -> Figure:
    return Figure(what, mean(shares), min(shares), max(shares), goal, up, unit="%")


def _minutes(out: Path) -> list[Figure]:
    """Processor minutes of all parts, and the wall minutes of two workers, by the times that were noted."""
    with (out / "times.csv").open(encoding="utf-8") as file:
        times = [(float(wall), float(spent)) for _, _, wall, spent in csv.reader(file)]
    wall, spent = (sum(column) / 60 for column in zip(*times, strict=True))
    return [
        Figure("processor minutes", spent, spent, spent, 2 * MINUTES, False, unit="min"),
        Figure("wall minutes of two workers", wall / 2, wall / 2, wall / 2, MINUTES, False, unit="min"),
    ]


def save(found: FoundOut, members: Sequence[Member], place: Path) -> Path:
    """Write PLACE/meta_audit.json."""
    content: dict[str, Any] = {
        "circumstances": circumstances(),
        "figures": [asdict(f) | {"reached": f.reached} for f in found.figures],
        "pool": {m.name: {"family": m.family, "seed": m.seed} for m in members},
        "verdicts": {
            j.member.name: {"words": dict(j.words), "gates that did not hold": dict(j.failed)} for j in found.judged
        },
        "verdicts without attacks": {j.member.name: dict(j.words) for j in found.by_scores},
        "flagged": dict(found.flagged),
        "attacks": {name: dict(by) for name, by in found.attacks.items()},
        "metrics": [asdict(line) for line in found.lines],
        "metrics without a value here": list(found.unfit),
        "endured": [asdict(e) for e in found.endured],
        "left out": {f: {"gates": list(names), "exposed": share} for f, (names, share) in found.left_out.items()},
    }
    return put(folder(place) / "meta_audit.json", json.dumps(content, indent=1).encode() + b"\n")
