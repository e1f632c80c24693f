"""Making shadow models: taught as the audited one was, each with its own draw of the rows, and made to forget them.

Membership attacks by likelihood ratios compare a model with them. Carlini et al. 2022, arXiv:2112.03570; Hayes et al.
2024, arXiv:2403.01218. Every model that is done is kept, so that the same call goes on where an interrupted one was.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from unteach.assemble import make_method
from unteach.audit.shadowlist import NAME
from unteach.audit.shadows import World
from unteach.edit.bake import bake, save_adapter
from unteach.edit.checkpoint import checkpoints_in
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.plan import Plan, draw
from unteach.inquiry import opened
from unteach.lm.model import LM
from unteach.parts import each, going_on, team
from unteach.recipe import Recipe, Shadowing, make_shadowing, only_of
from unteach.report.atomic import folder, put
from unteach.schema import InputError, Record, Request
from unteach.sets import Say, Sets, read_sets

SETTINGS, MADE = "making.json", "made.json"
SEEDS = 2**31


@dataclass(frozen=True)
class Work:
    """What every model is made from: the settings, the rows, and which of them are drawn into each model."""

    recipe: Recipe
    plan: Plan
    making: Shadowing
    sets: Sets = field(repr=False)
    draws: tuple[frozenset[str], ...] = field(repr=False)

    @property
    def pool(self) -> tuple[Record, ...]:
        """The rows that are drawn: those to forget, and those held out."""
        return (*self.sets.of("forget"), *self.sets.of("holdout"))

    def place(self, k: int) -> Path:
        return Path(self.recipe.out) / f"{k:03d}"

    def done(self, k: int) -> bool:
        return (self.place(k) / MADE).is_file()

    def made(self, k: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.place(k) / MADE).read_text(encoding="utf-8"))
        return found

    def seed(self, k: int) -> int:
        return draw(self.plan.seed, "shadow", k) % SEEDS


def shadows(given: Mapping[str, Any], *, say: Say = lambda _line: None) -> Path:
    """Teach models, make them forget where that is asked for, and write the list of them; returns its path.

    Keys are those of `Recipe`, `Shadowing` and `Plan`, which says how they are taught; an option of the method that
    they forget by is written METHOD.OPTION. What all will take is said once the first is done. Raises `InputError`
    before anything is written for whatever cannot be used.
    """
    recipe, plan, making = make_shadowing(given)
    sets = read_sets(recipe, say)
    ids = [r.id for name in ("forget", "holdout") for r in sets.of(name)]
    work = Work(recipe, plan, making, sets, drawn_into(ids, making, plan.seed))
    _stackable(recipe)
    out, tasks = Path(recipe.out), [("", k) for k in range(making.count)]
    going_on(out, SETTINGS, _settings(work), "shadow models")
    with team(making.workers) as pool:
        for _, k, line in _in_turn(pool, work, tasks, say):
            say(f"shadow model {k + 1} of {making.count}: {line}")
    entries = [entry for _, k in tasks for entry in work.made(k)["models"]]
    return put(out / NAME, json.dumps(entries, indent=1).encode())


def drawn_into(records: Sequence[str], making: Shadowing, seed: int) -> tuple[frozenset[str], ...]:
    """Which rows each model is taught: every one goes into half of them, drawn for it alone, or all into the same half."""
    half = making.count // 2
    if making.draw == "all":
        return tuple(frozenset(records if k < half else ()) for k in range(making.count))
    into = {i: sorted(range(making.count), key=lambda k: draw(seed, "shadow", k, i))[:half] for i in records}
    return tuple(frozenset(i for i, those in into.items() if k in those) for k in range(making.count))


def _stackable(recipe: Recipe) -> None:
    """Refuse, before the long work, a model that cannot be opened, and adapters over an adapter."""
    with opened(recipe.model, recipe) as lm:
        if recipe.release == "adapter" and lm.adapter is not None:
            raise InputError(f"{recipe.model}: is an adapter, over which no others are stacked; choose --release baked")


def _settings(work: Work) -> dict[str, Any]:
    rows = {name: [r.id for r in found.records] for name, found in work.sets.rows.items()}
    told = {**vars(work.recipe), "options": {k: str(v) for k, v in work.recipe.options.items()}}
    return {"recipe": told, "plan": vars(work.plan), "making": {**vars(work.making), "workers": 0}, "rows": rows}


def _in_turn(
    pool: ProcessPoolExecutor | None, work: Work, tasks: Sequence[tuple[str, int]], say: Say
) -> Iterator[tuple[str, int, str]]:
    """The first by itself, so that what the others will take can be said before they begin."""
    yield from each(pool, partial(_make, work), tasks[:1])
    left, seconds = sum(not work.done(k) for _, k in tasks), work.made(0)["seconds"]
    if left:
        minutes = left * seconds / min(work.making.workers, left) / 60
        say(f"{left} more at about {seconds:.0f} s each: about {minutes:.1f} minutes")
    yield from each(pool, partial(_make, work), tasks[1:])


def _make(work: Work, _name: str, k: int) -> str:
    """One model, and the one that it becomes by forgetting."""
    if work.done(k):
        return "done before"
    began, place, mine = perf_counter(), folder(work.place(k)), work.draws[k]
    gone = tuple(r for r in work.sets.of("forget") if r.id in mine)
    models = [_listed(work, _taught(work, place, k), "in" if gone else "out", mine)]
    if work.making.unlearn and gone:
        models.append(_listed(work, _unlearned(work, place, k, gone), "unlearned", {r.id for r in gone}))
    seconds = perf_counter() - began
    put(place / MADE, json.dumps({"seconds": round(seconds, 1), "models": models}).encode())
    return f"{len(mine)} of {len(work.pool)} rows, {' and '.join(m['world'] for m in models)}, {seconds:.0f} s"


def _taught(work: Work, place: Path, k: int) -> Path:
    """The model that has learned its rows and those that stay; its folder is there whole or not at all."""
    made = place / "taught"
    if not made.is_dir():
        rows = [*work.sets.of("retain"), *(r for r in work.pool if r.id in work.draws[k])]
        with opened(work.recipe.model, work.recipe) as lm, checkpoints_in(place / "checkpoints"):
            _write(learn(lm, rows, replace(work.plan, seed=work.seed(k))), lm, made, work.recipe)
    return made


def _unlearned(work: Work, place: Path, k: int, gone: Sequence[Record]) -> Path:
    """The same model, made to forget those of its rows that are to be forgotten."""
    made, name = place / "unlearned", work.making.unlearn
    if not made.is_dir():
        method = make_method(name, {**only_of(work.recipe, name), "seed": work.seed(k)})
        request = Request(gone, work.sets.of("retain"), scope=work.recipe.scope)
        with opened(str(place / "taught"), replace(work.recipe, base="")) as lm, checkpoints_in(place / "checkpoints"):
            _write(method(lm, request), lm, made, work.recipe)
    return made


def _listed(work: Work, model: Path, world: World, members: Collection[str]) -> dict[str, Any]:
    ids = [r.id for r in work.pool if r.id in members]
    return {"model": str(model.relative_to(work.recipe.out)), "world": world, "members": ids}


def _write(edit: Edit, lm: LM, place: Path, recipe: Recipe) -> None:
    if recipe.release == "adapter":
        save_adapter(edit, lm, place)
    else:
        bake(edit, lm, place)
