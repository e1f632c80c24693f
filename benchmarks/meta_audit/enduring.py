"""Whether a metric still tells knowledge from none after the weights were rounded, or after a little relearning.

Both sides go through the same: originals, and references, which then know as little of the rows that are asked as before.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.meta_audit.asking import METRICS, interview
from benchmarks.meta_audit.making import folder_of, worn
from benchmarks.meta_audit.pool import Member
from benchmarks.meta_audit.world import World
from unteach.audit.rounding import rounded, whole_steps
from unteach.audit.statistics import auc
from unteach.edit.learn import learn
from unteach.edit.plan import Plan, draw
from unteach.edit.worn import flat
from unteach.lm.model import LM
from unteach.report.atomic import folder, put
from unteach.schema import Record

Ordeal = Literal["nothing", "rounding", "relearning"]
ORDEALS: tuple[Ordeal, ...] = ("nothing", "rounding", "relearning")
REFERENCES = 12
SPENT = 0.2  # of the forgotten rows
LITTLE = Plan(tune="lora", rank=8, lora_alpha=16.0, lr=1e-3, epochs=3, batch_size=4, accumulate=1, warmup_epochs=0.0)
SLOW = {"miagradnorm", "mianeighbourhood", "exposure"}
COMPARED = {"forgetquality", "agreement", "kl", "js", "miareference", "forgettingrate", "linguisticscore"}
ASKED = tuple(m for m in METRICS if m not in SLOW | COMPARED)


def chosen(pool: Sequence[Member]) -> list[Member]:
    """Those who go through it: all originals, some references, and what rounding is to undo."""
    references = [m for m in pool if m.family == "retrained"][:REFERENCES]
    return [*(m for m in pool if m.family in ("original", "undone by rounding")), *references]


def endure(member: Member, world: World, out: Path) -> None:
    """What a model scores on the forgotten rows as it is, rounded to 4 bits, and after a little relearning."""
    place = _place(member, out)
    if place.exists():
        return
    rows = asked(world)
    found = {}
    for ordeal in ORDEALS:
        opened = partial(_after, ordeal, member, world, out)
        scored, _ = interview(opened, world, ASKED, forget=rows)
        found[ordeal] = {r.score.name: r.score.value for r in scored if r.set == "forget" and r.score.value is not None}
    put(folder(place.parent) / place.name, json.dumps(found).encode())


def asked(world: World) -> tuple[Record, ...]:
    """The forgotten rows that nothing is relearned of."""
    return _parted(world)[1]


def _parted(world: World) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    rows = sorted(world.sets["forget"], key=lambda r: draw("endure", r.id))
    spent = ceil(SPENT * len(rows))
    return tuple(rows[:spent]), tuple(rows[spent:])


@contextmanager
def _after(ordeal: Ordeal, member: Member, world: World, out: Path) -> Iterator[LM]:
    with worn(member, world, out) as lm, flat(lm):
        if ordeal == "nothing":
            yield lm
            return
        edit = (
            rounded(lm, partial(whole_steps, bits=4)) if ordeal == "rounding"
            else learn(lm, _parted(world)[0], replace(LITTLE, seed=member.seed))
        )  # fmt: skip
        with edit.on(lm):
            yield lm


@dataclass(frozen=True)
class Endured:
    """The AUC of originals against references after each ordeal, and that of what rounding is to undo."""

    metric: str
    auc: Mapping[str, float]
    undone: Mapping[str, float]


def endured(pool: Sequence[Member], out: Path) -> list[Endured]:
    """Every metric that has a value for all who went through it."""
    known = {m.name: json.loads(_place(m, out).read_text(encoding="utf-8")) for m in chosen(pool)}
    found = []
    for metric in ASKED:
        values = {
            o: {f: [known[m.name][o].get(metric) for m in chosen(pool) if m.family == f] for f in _families(pool)}
            for o in ORDEALS
        }
        if all(v is not None for of in values.values() for some in of.values() for v in some):
            found.append(_compared(metric, values))
    return found


def _compared(metric: str, values: Mapping[str, Mapping[str, Sequence[float]]]) -> Endured:
    plain = values["nothing"]
    up = 1.0 if np.mean(plain["original"]) >= np.mean(plain["retrained"]) else -1.0

    def apart(family: str) -> dict[str, float]:
        return {
            o: auc([up * v for v in of["retrained"]], [up * v for v in of[family]])
            for o, of in values.items()
            if of.get(family)
        }

    return Endured(metric, apart("original"), apart("undone by rounding"))


def _families(pool: Sequence[Member]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(m.family for m in chosen(pool)))


def _place(member: Member, out: Path) -> Path:
    return out / "endured" / f"{folder_of(member, out).name}.json"
