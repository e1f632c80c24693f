"""Every objective on the town and on TOFU forget10, compared where they keep equally much, on three seeds.

For each seed two models are taught from the same newborn: one on all rows, one without those to forget. Each
objective, as it was published, makes the first forget; its edit is put on as far as the original's extraction
strength on the rows to keep allows (0.95 of it), and the whole audit is asked there. Every part that is done is
kept under --out, so a run that was stopped goes on where it was.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import tables
from benchmarks.drawn import draw
from benchmarks.page import placed
from benchmarks.parts import each
from benchmarks.worlds import ASKED, SEEDS, World, opened, place_of, pupil, teach, worlds
from unteach.assemble import make_method
from unteach.audit.audit import audit
from unteach.audit.control import at, at_equal_retention
from unteach.audit.models import Worn
from unteach.audit.suite import Suite
from unteach.edit.edit import Edit
from unteach.edit.store import load as load_edit
from unteach.edit.store import save as save_edit
from unteach.registry import entries, find
from unteach.report import to_json
from unteach.report.atomic import folder, put

RESULTS = Path("benchmarks/results")


def methods(world: World) -> dict[str, tuple[str, dict[str, Any]]]:
    """A row's name to the method and its options: everything registered that makes a model forget by training."""
    names = [e.name for e in entries("objective") if find("objective", e.name).role == "forget"]
    rows: dict[str, tuple[str, dict[str, Any]]] = {n: (n, dict(world.forgetting)) for n in names}
    for name in names:
        if hasattr(find("objective", name), "tune"):  # it trains the layers that it was published with
            del rows[name][1]["tune"]
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
    found = worlds(chosen.worlds, SEEDS, chosen.data)
    each([partial(teach, w, chosen.out, which) for w in found for which in ("original", "retrained")], chosen.workers)
    if chosen.until != "taught":
        each([partial(_forget, w, chosen.out, name) for w in found for name in methods(w)], chosen.workers)
    if chosen.until == "asked":
        each([partial(_ask, w, chosen.out) for w in found], chosen.workers)
        _write(chosen.page, chosen.out, chosen.worlds.split(","))


def _write(page: Path, out: Path, names: Sequence[str]) -> None:
    """Bring the part of the page between the marks up to date; figures and values go beside it."""
    text = [tables.OPENING]
    for world in names:
        found = tables.gathered(out, world)
        draw(found, page.parent / "figures")
        text += tables.section(found)
        put(folder(RESULTS) / f"objectives-{world}.json", json.dumps(tables.raw(found)).encode() + b"\n")
    page.write_text(placed(page.read_text(encoding="utf-8"), "\n".join(text), "objectives"), encoding="utf-8")
    print(page)


def _forget(world: World, out: Path, name: str) -> None:
    place = place_of(world, out) / "edits" / name
    if (place / "equal.json").exists():
        return
    lm, began = pupil(world, out, "original"), perf_counter()
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
    place = place_of(world, out)
    if (place / "report.json").exists():
        return
    lm = pupil(world, out, "original")
    models: dict[str, Worn] = {"original": lm, "retrained": partial(opened, world, out)}
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


def _suite(world: World) -> Suite:
    slow = {"extractionlikelihood"} if world.name == "tofu" else set()
    names = [e.name for e in entries("metric") if e.name not in {"efficiency", *slow}]
    return Suite(tuple((n, {}) for n in names), world.max_new)
