"""What deletions would cost under other plans: a year of requests, counted stage by stage and trained by nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from statistics import mean

from unteach.edit.plan import draw
from unteach.methods.exact.shards.nodes import feeding, parted
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.schema import InputError, Record

YEAR = 365.0


@dataclass(frozen=True)
class Stream:
    """Requests as they come: `monthly` subjects ask in 30 days, spread evenly, and wait `deadline` days at most.

    `risky` of the requests come from the riskiest class that has records, the others from all others; None: from
    whoever it may be. What waits together is served by one build. `seed` draws who asks.
    """

    monthly: float = 10.0
    deadline: float = 30.0
    risky: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.monthly > 0 and self.deadline >= 0 and (self.risky is None or 0 <= self.risky <= 1)):
            raise InputError("requests a month must be above 0, a deadline not below 0, and a risky share from 0 to 1")

    @property
    def together(self) -> int:
        """How many requests one build serves."""
        return max(1, round(self.monthly * self.deadline / 30))

    @property
    def yearly(self) -> int:
        return ceil(self.monthly * YEAR / 30)


@dataclass(frozen=True)
class Year:
    """What a year takes under a plan, in records of steps: a first training, a deletion by itself, all builds.

    `again` is what the same builds take where everything is trained each time, `shards` how many of them a build
    touches, `stages` the artefacts that are kept.
    """

    plan: ShardPlan
    whole: int
    alone: float
    builds: int
    yearly: int
    again: int
    shards: float

    @property
    def stages(self) -> int:
        return self.plan.shards * self.plan.slices


def year(records: Sequence[Record], plan: ShardPlan, stream: Stream) -> Year:
    """Serve a year of requests under a plan; who has gone is not asked again, and what is left is what is trained."""
    asked = _asking(records, stream)
    alone = [_trained(records, plan, {subject}) for subject in asked]
    left, yearly, again, touched = list(records), 0, 0, []
    builds = [set(asked[at : at + stream.together]) for at in range(0, len(asked), stream.together)]
    for gone in builds:
        yearly += _trained(left, plan, gone)
        touched.append(len({plan.place(r).shard for r in left if _owner(r) in gone}))
        left = [r for r in left if _owner(r) not in gone]
        again += _whole(left, plan)
    return Year(plan, _whole(records, plan), mean(alone), len(builds), yearly, again, mean(touched))


def layouts(text: str, plan: ShardPlan, records: int) -> list[ShardPlan]:
    """Plans by their shards and slices, as in ``1x1,4x4,20x8``; a slice is planned for as many records as there are."""
    found = []
    for part in text.split(","):
        sides = part.strip().split("x")
        if len(sides) != 2 or not all(s.isdecimal() and int(s) for s in sides):
            raise InputError("a layout is shards x slices, both from 1; give --layouts as 1x1,4x4,20x8")
        shards, slices = map(int, sides)
        risks = min(plan.risks, slices)
        found.append(replace(plan, shards=shards, slices=slices, risks=risks, rows=ceil(records / (shards * slices))))
    return found


def table(years: Sequence[Year]) -> list[str]:
    """One line a plan, the figures under their names."""
    names = (
        "shards x slices",
        "first training",
        "one deletion",
        "builds a year",
        "shards a build",
        "a year",
        "retraining",
        "kept",
    )
    rows = [
        (f"{y.plan.shards}x{y.plan.slices}", f"{y.whole}", f"{y.alone:.0f}", f"{y.builds}", f"{y.shards:.1f}",
         f"{y.yearly}", f"{y.again}", f"{y.stages} stages")
        for y in years
    ]  # fmt: skip
    wide = [max(len(r[i]) for r in (names, *rows)) for i in range(len(names))]
    return ["  ".join(cell.rjust(w) for cell, w in zip(row, wide, strict=True)) for row in (names, *rows)]


def legend(stream: Stream) -> list[str]:
    """What the figures of the table are."""
    return [
        f"{stream.monthly:g} requests a month, {stream.together} of them in a build; all figures but builds and shards are "
        "records of steps.",
        "one deletion: the mean over the requests, each by itself. a year: all builds. retraining: the same builds, all anew.",
        "Time and utility are not told here: more shards train less and know less of each other's records.",
    ]


def _owner(record: Record) -> str:
    return record.subject or record.id


def _asking(records: Sequence[Record], stream: Stream) -> list[str]:
    """Who asks in a year, in order; at most half of all, so that something is left to train on."""
    risk: Mapping[str, int] = {_owner(r): r.risk for r in records}
    order = sorted(risk, key=lambda s: draw(stream.seed, "asks", s))
    if len(order) < 2:
        raise InputError("a stream of deletions needs records of two subjects or more; give --forget for a single one")
    top = max(risk.values())
    risky, others = ([s for s in order if (risk[s] == top) is side] for side in (True, False))
    found: list[str] = []
    for n in range(min(stream.yearly, len(order) // 2)):
        first = stream.risky is not None and draw(stream.seed, "which", n) / 2**64 < stream.risky
        pool = order if stream.risky is None else (risky if first else others) or order
        chosen = next(s for s in pool if s not in found) if set(pool) - set(found) else None
        if chosen is None:
            break
        found.append(chosen)
    return found


def _trained(records: Sequence[Record], plan: ShardPlan, gone: set[str]) -> int:
    """Records of the steps of all stages that the gone ones fed, without them."""
    found = 0
    for mine in parted(plan, records).values():
        hit = [plan.place(r).slice for r in mine if _owner(r) in gone]
        left = [r for r in mine if _owner(r) not in gone]
        if hit:
            found += sum(plan.epochs * len(feeding(plan, left, stage)) for stage in range(min(hit), plan.slices))
    return found


def _whole(records: Sequence[Record], plan: ShardPlan) -> int:
    parts = parted(plan, records).values()
    return sum(plan.epochs * len(feeding(plan, mine, stage)) for mine in parts for stage in range(plan.slices))
