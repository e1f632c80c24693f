"""Every objective on the town and on TOFU forget10, compared where they keep equally much, on three seeds.

For each seed two models are taught from the same newborn: one on all rows, one without those to forget. Each
objective, as it was published, makes the first forget; its edit is put on as far as the original's extraction
strength on the rows to keep allows (0.95 of it), and the whole audit is asked there. Every part that is done is
kept under --out, so a run that was stopped goes on where it was.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks import tables
from benchmarks.drawn import draw
from benchmarks.page import placed
from unteach.assemble import make_method
from unteach.audit.audit import audit
from unteach.audit.benchmarks.tofu import Tofu
from unteach.audit.benchmarks.town import Town
from unteach.audit.control import at, at_equal_retention
from unteach.audit.models import Worn
from unteach.audit.suite import Suite
from unteach.data import read
from unteach.edit.bake import bake
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.edit.store import load as load_edit
from unteach.edit.store import save as save_edit
from unteach.lm.batch import Template
from unteach.lm.fresh import Size, fresh
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.registry import entries, find
from unteach.report import to_json
from unteach.report.atomic import folder, put
from unteach.schema import Record, Request

SEEDS = (0, 1, 2)
RESULTS = Path("benchmarks/results")
KNOWN, UNSEEN, ASKED = 400, slice(3200, 3300), 100  # TOFU: rows to keep, rows never seen, rows asked of each set


@dataclass(frozen=True)
class World:
    """A benchmark of one seed: its lessons, what is to be forgotten, what is asked, and how models are trained."""

    name: str
    seed: int
    lessons: Sequence[Record]
    request: Request
    sets: Mapping[str, Sequence[Record]]
    roles: Mapping[str, str]
    size: Size
    school: Plan
    forgetting: Mapping[str, Any]
    template: Template | None
    max_new: int

    def taught(self, *, without_forgotten: bool) -> list[Record]:
        gone = {r.id for r in self.request.forget} if without_forgotten else set()
        return [r for r in self.lessons if r.id not in gone]


def town(seed: int) -> World:
    """The embedded town."""
    made = Town(seed=seed)
    return World(
        "town", seed, made.lessons(), made.request(), made.sets(), made.roles,
        Size(vocabulary=1024, hidden=128, layers=4, heads=4, inner=352, positions=64),
        Plan(tune="full", lr=2e-3, epochs=14, batch_size=16, accumulate=1, warmup_epochs=0.5, decay="cosine", seed=seed),
        {"tune": "full", "lr": 2e-3, "epochs": 20, "batch_size": 16, "accumulate": 1, "seed": seed}, None, 24,
    )  # fmt: skip


def tofu(seed: int, data: Path) -> World:
    """TOFU forget10, beside the first 400 rows of retain90 and the facts about real authors and the world."""
    made = Tofu(str(data), rows=ASKED)
    whole = Tofu(str(data)).sets()
    everything = read(data / "retain90.json").records
    forget, keep = made.request().forget, everything[:KNOWN]
    facts = [*whole["real_authors"], *whole["world_facts"]]
    return World(
        "tofu", seed, [*forget, *keep, *facts], Request(forget, keep, everything[UNSEEN], scope="subject", id="tofu"),
        {**made.sets(), "holdout": everything[UNSEEN]}, {**made.roles, "holdout": "holdout"},
        Size(vocabulary=4096, hidden=128, layers=4, heads=4, inner=352, positions=512),
        Plan(tune="full", lr=2e-3, epochs=28, batch_size=4, accumulate=1, warmup_epochs=0.5, weight_decay=0.0,
             decay="cosine", seed=seed),
        {"tune": "full", "lr": 1e-3, "epochs": 3, "batch_size": 16, "accumulate": 1, "weight_decay": 0, "seed": seed},
        Template("Question: {prompt}\nAnswer: {answer}"), 100,
    )  # fmt: skip


def methods(world: World) -> dict[str, tuple[str, dict[str, Any]]]:
    """A row's name to the method and its options: everything registered that makes a model forget by training."""
    names = [e.name for e in entries("objective") if find("objective", e.name).role == "forget"]
    rows: dict[str, tuple[str, dict[str, Any]]] = {n: (n, dict(world.forgetting)) for n in names}
    if "tune" in rows["rmu"][1]:
        del rows["rmu"][1]["tune"]  # it trains the down-projections of three blocks
    rows["graddiff"] = ("graddiff", dict(world.forgetting))
    rows["sure"] = ("sure", dict(world.forgetting))
    if world.name == "town":  # its stop goes on from every token of every row: too long for TOFU's answers here
        options = {k: v for k, v in world.forgetting.items() if k not in ("batch_size", "accumulate")}
        rows["jang"] = ("jang", options | {"epochs": 40, "lr": 5e-4})
    return dict(sorted(rows.items()))


def main(arguments: list[str]) -> None:
    """Teach, forget, compare, and write the pages' tables."""
    parser = argparse.ArgumentParser("python -m benchmarks objectives", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with TOFU's JSON files")
    parser.add_argument("--out", type=Path, default=Path("runs/objectives"))
    parser.add_argument("--worlds", default="town,tofu")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--until", choices=("taught", "forgotten", "asked"), default="asked")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    chosen = parser.parse_args(arguments)
    worlds = [make(s) for n in chosen.worlds.split(",") for s in SEEDS for make in [_maker(n, chosen.data)]]
    with ProcessPoolExecutor(chosen.workers, mp_context=get_context("spawn")) as pool:
        _all(pool, [partial(_teach, w, chosen.out, which) for w in worlds for which in ("original", "retrained")])
        if chosen.until != "taught":
            _all(pool, [partial(_forget, w, chosen.out, name) for w in worlds for name in methods(w)])
        if chosen.until == "asked":
            _all(pool, [partial(_ask, w, chosen.out) for w in worlds])
            _write(chosen.page, chosen.out, chosen.worlds.split(","))


def _write(page: Path, out: Path, worlds: Sequence[str]) -> None:
    """Bring the part of the page between the marks up to date; figures and values go beside it."""
    text = [tables.OPENING]
    for world in worlds:
        found = tables.gathered(out, world)
        draw(found, page.parent / "figures")
        text += tables.section(found)
        put(folder(RESULTS) / f"objectives-{world}.json", json.dumps(tables.raw(found)).encode() + b"\n")
    page.write_text(placed(page.read_text(encoding="utf-8"), "\n".join(text), "objectives"), encoding="utf-8")
    print(page)


def _maker(name: str, data: Path) -> Any:
    return town if name == "town" else partial(tofu, data=data)


def _all(pool: ProcessPoolExecutor, tasks: Sequence[partial[None]]) -> None:
    for done in [pool.submit(_alone, task) for task in tasks]:
        done.result()


def _alone(task: partial[None]) -> None:
    torch.set_num_threads(1)
    task()


def _place(world: World, out: Path) -> Path:
    return out / world.name / str(world.seed)


def _teach(world: World, out: Path, which: str) -> None:
    place = _place(world, out) / which
    if place.exists():
        return
    began = perf_counter()
    texts = (f"{r.prompt} {r.answer}" for r in world.lessons)  # one tokenizer for both models
    newborn = fresh(texts, world.size, seed=world.seed, template=world.template)
    edit = learn(newborn, world.taught(without_forgotten=which == "retrained"), world.school)
    bake(edit, newborn, place)
    print(f"{place}: taught in {perf_counter() - began:.0f} s", flush=True)


def _open(world: World, out: Path, which: str) -> LM:
    return load(_place(world, out) / which, template=world.template)


def _forget(world: World, out: Path, name: str) -> None:
    place = _place(world, out) / "edits" / name
    if (place / "equal.json").exists():
        return
    lm, began = _open(world, out, "original"), perf_counter()
    method, options = methods(world)[name]
    edit = make_method(method, options)(lm, world.request)
    seconds = perf_counter() - began
    save_edit(edit, place)
    rows = world.sets["forget"][:ASKED], world.sets["retain"][:ASKED]
    part = at_equal_retention(lm, edit, *rows)
    whole = at(lm, edit, 1.0, *rows, "extraction")
    noted = {f"trained_{name}": value for name, value in whole.items()} | {"seconds": round(seconds, 1)}
    (place / "equal.json").write_text(json.dumps(part | noted), encoding="utf-8")
    print(f"{place}: {seconds:.0f} s, alpha {part['alpha']:.2f}", flush=True)


def _ask(world: World, out: Path) -> None:
    place = _place(world, out)
    if (place / "report.json").exists():
        return
    lm = _open(world, out, "original")
    models: dict[str, Worn] = {"original": lm, "retrained": partial(_opened, world, out)}
    for name in methods(world):
        edit, equal = load_edit(place / "edits" / name), json.loads((place / "edits" / name / "equal.json").read_text())
        models[name] = partial(_part(edit, equal["alpha"]).on, lm)
    report = audit(
        models, {s: r[:ASKED] for s, r in world.sets.items()}, roles=world.roles, suite=_suite(world),
        title=f"{world.name}, seed {world.seed}, at equal retention",
        progress=lambda name: print(f"{place}: asking {name}", flush=True),
    )  # fmt: skip
    (place / "report.json").write_text(to_json(replace(report, examples=())), encoding="utf-8")


def _part(edit: Edit, alpha: float) -> Edit:
    return edit if alpha == 1 else edit.scaled(alpha)


@contextmanager
def _opened(world: World, out: Path) -> Iterator[LM]:
    """The retrained model when its turn comes."""
    yield _open(world, out, "retrained")


def _suite(world: World) -> Suite:
    slow = {"extractionlikelihood"} if world.name == "tofu" else set()
    names = [e.name for e in entries("metric") if e.name not in {"efficiency", *slow}]
    return Suite(tuple((n, {}) for n in names), world.max_new)
