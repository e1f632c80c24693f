"""Several methods on one request, compared where they keep equally much, over several seeds.

Each method forgets once for each seed. Its edit is put on as far as the original's retention allows, and the audit is
asked there: what a method gains by destroying is not counted. Every part that is done is kept, so that the same call
goes on where an interrupted one was.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from unteach import report as paper
from unteach.assemble import make_method
from unteach.audit.control import at_equal_retention, mix
from unteach.audit.models import Worn
from unteach.edit.edit import Edit
from unteach.edit.store import load as load_edit
from unteach.edit.store import save as save_edit
from unteach.inquiry import Say, ask, drawn, machine, opened, read_sets, request_of, retrained_model, worn_part
from unteach.recipe import Comparison, Recipe, make_comparison, options_of
from unteach.report.atomic import folder, put
from unteach.schema import EMPIRICAL, InputError, Report

SETTINGS, EQUAL = "comparison.json", "equal.json"


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
    out = Path(plan.out)
    _same(out, plan, contest)
    read_sets(plan, say)
    tasks = [(name, seed) for seed in contest.numbers for name in contest.names]
    with _team(contest.workers) as team:
        for name, seed, line in _each(team, partial(_forget, plan, contest), tasks):
            say(f"{name}, seed {seed}: {line}")
        for _, seed, line in _each(team, partial(_ask, plan, contest), [("", s) for s in contest.numbers]):
            say(f"seed {seed}: {line}")
    reports = {seed: paper.read(_place(out, seed)) for seed in contest.numbers}
    files = paper.write_seeds(paper.seeds(reports), out)
    return Compared(reports, files)


@contextmanager
def _team(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """So many processes of one thread each; none for one worker."""
    if workers == 1:
        yield None
        return
    spawn = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool


def _each(
    team: ProcessPoolExecutor | None, work: Callable[[str, int], str], tasks: Sequence[tuple[str, int]]
) -> Iterator[tuple[str, int, str]]:
    """Every task, several at a time; what it says, in the order of the tasks."""
    if team is None:
        yield from ((name, seed, work(name, seed)) for name, seed in tasks)
        return
    for (name, seed), done in [(task, team.submit(work, *task)) for task in tasks]:
        yield name, seed, done.result()


def _same(out: Path, plan: Recipe, contest: Comparison) -> None:
    """Refuse a folder that holds anything but an unfinished comparison with the same settings."""
    settings = {**vars(plan), **vars(contest), "options": {k: str(v) for k, v in plan.options.items()}, "workers": 0}
    mark = sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
    place = out / SETTINGS
    if place.is_file():
        if json.loads(place.read_text(encoding="utf-8")).get("settings") != mark:
            raise InputError(f"{out}: holds a comparison with other settings; choose another folder with --out")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: not an empty folder; choose an empty or a new one with --out")
    put(folder(out) / SETTINGS, json.dumps({"settings": mark}).encode())


def _place(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def _forget(plan: Recipe, contest: Comparison, name: str, seed: int) -> str:
    """One method, one seed: its edit, and how much of it keeps what the others keep."""
    place = _place(Path(plan.out), seed) / "edits" / name
    if (place / EQUAL).is_file():
        return "done before"
    sets = read_sets(plan, lambda _line: None)
    with opened(plan.model, plan) as lm:
        began = perf_counter()
        edit = make_method(name, {**options_of(plan, name), "seed": seed})(lm, request_of(plan, sets))
        seconds = perf_counter() - began
        rows = [drawn(s, sets.of(s), plan.asked) for s in ("forget", "retain")]
        found: dict[str, Any] = {"alpha": None, "seconds": round(seconds, 1)}
        if mixes(edit):
            found |= at_equal_retention(lm, edit, *rows, tau=contest.tau)
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
        models: dict[str, Worn] = {"original": lm, **retrained_model(plan)}
        notes, curves = [], {}
        for name in contest.names:
            edit = load_edit(place / "edits" / name)
            equal = json.loads((place / "edits" / name / EQUAL).read_text(encoding="utf-8"))
            models[name] = partial(worn_part, lm, edit, equal["alpha"])
            curves[name] = mix(lm, edit, sets.of("forget"), sets.of("retain"), measure="extraction")
            notes.append(f"{name}: {_part(equal['alpha'])}; trained in {equal['seconds']:g} s")
        title = f"{len(contest.names)} methods where they keep {contest.tau:g} of the original, seed {seed}"
        report = ask(models, sets, plan, EMPIRICAL, title, before=plan.model)
    method = {"name": "compare", "methods": ", ".join(contest.names), "tau": contest.tau, "seed": seed}
    environment = {**report.environment, **machine()}
    paper.write(
        replace(report, method=method, notes=(*report.notes, *notes), mixing=curves, environment=environment), place
    )
    return f"report in {place}"
