"""Several methods on one request, compared where they keep equally much, over several seeds.

Each method forgets once for each seed. Its edit is put on as far as the original's retention allows, and the audit is
asked there: what a method gains by destroying is not counted. Every part that is done is kept, so that the same call
goes on where an interrupted one was.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from unteach import report as paper
from unteach.assemble import seeded
from unteach.audit.control import equal_of, walk
from unteach.audit.models import Worn
from unteach.edit.edit import Edit
from unteach.edit.store import load as load_edit
from unteach.edit.store import save as save_edit
from unteach.inquiry import ask, askable, machine, opened, retrained_models, worn_part
from unteach.parts import each, going_on, team
from unteach.recipe import Comparison, Recipe, make_comparison, options_of
from unteach.report.atomic import folder, put
from unteach.schema import EMPIRICAL, InputError, Report
from unteach.sets import Say, correctable, drawn, read_sets, request_of

SETTINGS, EQUAL = "comparison.json", "equal.json"
MEASURE = "extractionstrength"  # by which methods keep equally much, and that of the curves


@dataclass(frozen=True)
class Compared:
    """One report a seed, in which every method stands where it keeps as much as the others, and the files."""

    reports: Mapping[int, Report]
    files: Mapping[str, Path]


def compare(given: Mapping[str, Any], *, say: Say = lambda _line: None) -> Compared:
    """Let every method forget under every seed, and write DIR/seeds.md with one report for each seed.

    Keys are those of `Recipe` (without `method` and `release`) and of `Comparison`; an option of one method alone is
    written METHOD.OPTION. Raises `InputError` before anything is written for whatever cannot be used.
    """
    plan, contest = make_comparison(given)
    askable(plan)
    out = Path(plan.out)
    request = request_of(plan, read_sets(plan, say), say)
    if not request.retain:
        raise InputError(
            f"benchmark '{plan.benchmark}' has no rows to keep, by which methods could be compared; name another"
        )
    _same(out, plan, contest)
    tasks = [(name, seed) for seed in contest.numbers for name in contest.names]
    with team(contest.workers) as pool:
        for name, seed, line in each(pool, partial(_forget, plan, contest), tasks):
            say(f"{name}, seed {seed}: {line}")
        for _, seed, line in each(pool, partial(_ask, plan, contest), [("", s) for s in contest.numbers]):
            say(f"seed {seed}: {line}")
    reports = {seed: paper.read(_place(out, seed)) for seed in contest.numbers}
    files = paper.write_contest(reports, out)
    return Compared(reports, files)


def _same(out: Path, plan: Recipe, contest: Comparison) -> None:
    """Refuse a folder that holds anything but an unfinished comparison with the same settings."""
    settings = {**vars(plan), **vars(contest), "options": {k: str(v) for k, v in plan.options.items()}, "workers": 0}
    going_on(out, SETTINGS, settings, "a comparison")


def _place(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def _forget(plan: Recipe, contest: Comparison, name: str, seed: int) -> str:
    """One method, one seed: its edit, and how much of it keeps what the others keep."""
    place = _place(Path(plan.out), seed) / "edits" / name
    if (place / EQUAL).is_file():
        return "done before"
    request = request_of(plan, read_sets(plan, lambda _line: None))
    with opened(plan.model, plan) as lm:
        began = perf_counter()
        method = seeded(name, options_of(plan, name), seed)
        edit = method(lm, correctable(request, method, plan))
        seconds = perf_counter() - began
        rows = [drawn("forget", request.forget, plan.asked), drawn("retain", request.retain, plan.asked)]
        found: dict[str, Any] = {"alpha": None, "seconds": round(seconds, 1)}
        if mixes(edit):
            curve = walk(lm, edit, *rows, tau=contest.tau)
            found |= {**equal_of(curve), "curve": curve}
    save_edit(edit, folder(place))
    put(place / EQUAL, json.dumps(found).encode())
    return f"forgotten in {seconds:.0f} s, {_part(found['alpha'])}"


def mixes(edit: Edit) -> bool:
    """Whether a part of an edit can be put on: one that hides, in activations or conversation, is whole or absent."""
    return bool(edit.weights) and not edit.activations and not edit.guards


def _part(alpha: float | None) -> str:
    return "which cannot be put on in part" if alpha is None else f"{alpha:.2f} of it keeps enough"


def _ask(plan: Recipe, contest: Comparison, _name: str, seed: int) -> str:
    """The audit of all methods of one seed, each at equal retention."""
    place = _place(Path(plan.out), seed)
    if (place / "report.json").is_file():
        return "asked before"
    sets = read_sets(plan, lambda _line: None)
    with opened(plan.model, plan) as lm:
        models: dict[str, Worn] = {"original": lm, **retrained_models(plan)}
        notes, curves, seconds = [], {}, {}
        for name in contest.names:
            edit = load_edit(place / "edits" / name)
            equal = json.loads((place / "edits" / name / EQUAL).read_text(encoding="utf-8"))
            models[name] = partial(worn_part, lm, edit, equal["alpha"])
            curves[name] = tuple(equal.get("curve", ()))
            seconds[f"training seconds of {name}"] = equal["seconds"]
            notes.append(f"{name}: {_part(equal['alpha'])}; trained in {equal['seconds']:g} s")
        title = f"{len(contest.names)} methods where they keep {contest.tau:g} of the original, seed {seed}"
        report = ask(models, sets, plan, EMPIRICAL, title, before=plan.model)
    told = {"methods": ", ".join(contest.names), "tau": contest.tau, "measure": MEASURE}
    method = {"name": "compare", **told, "seed": seed}
    environment = {**report.environment, **machine(), **seconds}
    paper.write(
        replace(report, method=method, notes=(*report.notes, *notes), mixing=curves, environment=environment), place
    )
    return f"report in {place}"
