"""What exact deletion costs: records trained beside a clean build, the swap, the prediction, and what shards lose."""

import argparse
import json
import random
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from benchmarks.figures import RESULTS, Figure, circumstances, table
from benchmarks.page import placed
from unteach.audit.benchmarks.town import Town
from unteach.edit.bake import bake
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.fresh import Size, fresh
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.exact.shards.ensemble import Ensemble, nats
from unteach.methods.exact.shards.nodes import InMemory, laid_out
from unteach.methods.exact.shards.sharded import Corpus, merged, taught
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.sisa import asked_together
from unteach.methods.exact.shards.stage import Schooling
from unteach.report.atomic import folder, put
from unteach.schema import EMPIRICAL, Record
from unteach.service.deletion import Desk, advance, train
from unteach.service.requests import notes_of, receive
from unteach.service.store import Settings, create

SUBJECTS, ROWS = 800, 20
DRAWS = 200
SHARDS = (1, 2, 4, 8, 20)
BUILDS = 6


def main(arguments: list[str]) -> None:
    """Count, measure, and write the page's part."""
    parser = argparse.ArgumentParser("python -m benchmarks exact", description=__doc__)
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument("--people", type=int, default=24, help="of the town that shards are compared on")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    figures = [*costs(), *service()]
    losses = utility(chosen.people)
    print("\n".join(table(figures)))
    content = {
        "circumstances": circumstances(),
        "figures": [asdict(f) | {"reached": f.reached} for f in figures],
        "shards": losses,
    }
    put(folder(RESULTS) / "exact.json", json.dumps(content, indent=1).encode() + b"\n")
    text = "\n".join([*table(figures), "", *shards_table(losses)])
    chosen.page.write_text(placed(chosen.page.read_text(encoding="utf-8"), text, "exact"), encoding="utf-8")


def costs() -> list[Figure]:
    """Records that a deletion trains, counted in the plan: the mean over requests for subjects drawn at random."""
    plain = ShardPlan(shards=20, slices=8, rows=SUBJECTS * ROWS // 160)
    sorted_ = replace(plain, risks=8)
    rows = corpus(lambda _: 0)
    likely = corpus(lambda dice: 7 if dice.random() < 0.125 else dice.randrange(7))
    return [
        _saved("one subject, 20 shards of 8 slices", plain, rows, 1, 20.0),
        _saved("one subject, slices sorted by risk, 80 % of requests risky", sorted_, likely, 1, 40.0, risky=0.8),
        _saved("eight subjects at once", plain, rows, 8, 4.0),
    ]


def corpus(risk: Callable[[random.Random], int]) -> list[Record]:
    """Subjects of as many rows each."""
    dice = random.Random(0)
    risks = [risk(dice) for _ in range(SUBJECTS)]
    return [Record(f"{s}/{n}", "q", "a", subject=f"s{s}", risk=risks[s]) for s in range(SUBJECTS) for n in range(ROWS)]


def _saved(
    what: str, plan: ShardPlan, rows: Sequence[Record], batch: int, goal: float, *, risky: float | None = None
) -> Figure:
    dice = random.Random(1)
    whole = laid_out(plan, "x", rows)
    names = {n.id for chain in whole.values() for n in chain}
    total = sum(n.trained for chain in whole.values() for n in chain)
    high = sorted({r.subject for r in rows if r.risk == plan.risks - 1})
    others = sorted({r.subject for r in rows} - set(high)) if risky else sorted({r.subject for r in rows})
    spent = []
    for _ in range(DRAWS // 10):
        gone = {dice.choice(high if risky and dice.random() < risky else others) for _ in range(batch)}
        spent.append(again(plan, rows, gone, names))
    found = [total / max(1, s) for s in spent]
    return Figure(what, total / mean(spent), min(found), max(found), goal, unit="times fewer")


def service() -> list[Figure]:
    """A store on a small model: how soon a clean release is served, and how near the prediction is after five builds."""
    lm, rows = pupil(16)
    errors, swaps = [], []
    with TemporaryDirectory() as place:
        plan = ShardPlan(shards=4, slices=4, epochs=2, batch=16, rows=len(rows) // 16)
        store = create(Path(place) / "store", Settings("", lm.digest(), plan, Schooling(rank=8)), rows)
        desk = Desk(store, lm)
        train(desk)
        for n, subject in enumerate(sorted({r.subject for r in rows if r.subject})[:BUILDS]):
            request = receive(desk.store, [r.id for r in rows if r.subject == subject], "record")
            advance(desk, request, until="fenced")
            began = perf_counter()
            advance(desk, request, until="swapped")
            swaps.append(perf_counter() - began)
            advance(desk, request)
            notes = notes_of(store, request)
            if n >= BUILDS - 1:
                errors.append(abs(notes["predicted"] / notes["took"] - 1))
        store.close()
    return [
        Figure("seconds to a release that never read the rows", median(swaps), min(swaps), max(swaps), 2.0, False),
        Figure("predicted seconds of a rebuild off by", mean(errors), min(errors), max(errors), 0.10, False, unit="%"),
    ]


def utility(people: int) -> list[dict[str, float]]:
    """What shards cost in quality beside what they save: nats a token on what was taught, one adapter beside many."""
    lm, rows = pupil(people, read=True)
    with torch.no_grad():
        found = [{"shards": 0, "alone": -float(lm.run(lm.batch(rows)).token_logps.mean())}]
    for shards in SHARDS:
        plan = ShardPlan(shards=shards, slices=1, epochs=12, batch=16, rows=max(1, len(rows) // shards))
        state = taught(Corpus(lm, tuple(rows)), plan, Schooling(rank=8, lr=5e-3), InMemory({}))
        parts = [state.last(s) for s in state.living()]
        one = merged(state, parts, 1.0, EMPIRICAL, "merge")
        found.append({
            "shards": shards,
            "saved": saved(plan, rows),
            "ensemble": nats(asked_together(state, state.living(), vote=False), rows),
            "merge": nats(Ensemble(lm, (one,)), rows),
            "alone": mean(nats(asked_together(state, [s], vote=False), rows) for s in state.living()),
        })  # fmt: skip
        print(found[-1], flush=True)
    return found


def saved(plan: ShardPlan, rows: Sequence[Record]) -> float:
    """How many times fewer records the deletion of one subject trains, the mean over all subjects."""
    whole = [n for chain in laid_out(plan, "x", rows).values() for n in chain]
    names = {n.id for n in whole}
    spent = [again(plan, rows, {gone}, names) for gone in sorted({r.subject for r in rows if r.subject})]
    return sum(n.trained for n in whole) / mean(spent)


def again(plan: ShardPlan, rows: Sequence[Record], gone: Set[str], names: Set[str]) -> int:
    """The records of steps that go through stages not there yet, once some subjects are gone."""
    left = laid_out(plan, "x", [r for r in rows if r.subject not in gone])
    return sum(n.trained for chain in left.values() for n in chain if n.id not in names)


def pupil(people: int, *, read: bool = False) -> tuple[LM, list[Record]]:
    """A small model and the lessons of a town; it has read nothing, or with `read` all about another town."""
    rows, other = (list(Town(people=people, leaving=4, strangers=4, seed=s).lessons()) for s in (0, 1))
    texts = [f"{r.prompt} {r.answer}" for r in (*rows, *other)]
    lm = fresh(texts, Size(vocabulary=1024, hidden=64, layers=2, heads=4, inner=176, positions=64))
    if not read:
        return lm, rows
    plan = Plan(tune="full", lr=2e-3, epochs=20, batch_size=16, accumulate=1, warmup_epochs=0.5, decay="cosine")
    with TemporaryDirectory() as place:
        bake(learn(lm, other, plan), lm, Path(place) / "read")
        return load(str(Path(place) / "read")), rows


def shards_table(losses: Sequence[Mapping[str, float]]) -> list[str]:
    """What a shard, their ensemble and their merge make of the lessons, and what a deletion saves."""
    head = [
        "| shards | one deletion trains | one shard alone | ensemble | merge |",
        "|---|---|---|---|---|",
        f"| none, the base | – | {losses[0]['alone']:.2f} | – | – |",
    ]
    return head + [
        f"| {int(x['shards'])} | {x['saved']:.1f} times fewer | {x['alone']:.2f} | {x['ensemble']:.2f} | {x['merge']:.2f} |"
        for x in losses[1:]
    ]
