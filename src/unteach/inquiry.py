"""What a run opens and asks, by its recipe: the models, and the audit of them."""

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from unteach.audit.attacked import Rows as Wanted
from unteach.audit.attacked import attacked
from unteach.audit.audit import audit as ask_all
from unteach.audit.models import RETRAINED, Worn
from unteach.audit.shadowlist import ask_list
from unteach.audit.tasked import loadable, tasked
from unteach.audit.withstood import withstood
from unteach.edit.cost import peak
from unteach.edit.edit import Edit
from unteach.edit.worn import flat
from unteach.lm.address import is_url, several, shown
from unteach.lm.encoder import Template
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.lm.respondent import Respondent
from unteach.recipe import Recipe
from unteach.schema import Cost, Guarantee, Report
from unteach.sets import Say, Sets, attacks_of, drawn, suite_of, told

Opening = Callable[[str, Recipe], AbstractContextManager[Respondent]]


def open_model(model: str, plan: Recipe, say: Say) -> LM:
    """A model as the recipe lays its prompts out; its family and size are said."""
    lm = _load(model, plan)
    count = sum(p.numel() for p in lm.model.parameters())
    say(f"model: {model} ({lm.model.config.model_type}, {count:,} parameters, {lm.device.type})")
    return lm


def _load(model: str, plan: Recipe) -> LM:
    template = Template(plan.template, system=plan.system) if plan.template or plan.system else None
    return load(model, template=template, base=plan.base or None, device=plan.device)


@contextmanager
def opened(model: str, plan: Recipe) -> Iterator[LM]:
    """A model that is opened when its turn comes, and gone after it."""
    yield _load(model, plan)


def worn_part(lm: LM, edit: Edit, alpha: float | None) -> AbstractContextManager[LM]:
    """A model that wears so much of an edit; all of it where that cannot be divided."""
    return (edit if alpha in (None, 1) else edit.scaled(alpha or 0.0)).on(lm)


@contextmanager
def baked(edit: Edit, lm: LM) -> Iterator[LM]:
    """A model as it ships when an edit is baked: nothing lies over its weights."""
    with edit.on(lm), flat(lm):
        yield lm


def retrained_models(plan: Recipe, opens: Opening = opened) -> dict[str, Worn]:
    """The models trained without the rows; each opened once before the long work, so that this does not end in a refusal."""
    found: dict[str, Worn] = {}
    for number, model in enumerate(several(plan.retrained), 1):
        with opens(model, plan):
            found[RETRAINED if number == 1 else f"{RETRAINED} {number}"] = partial(opens, model, plan)
    return found


def say_lengths(lm: LM, sets: Sets, say: Say) -> None:
    """Truncation is said aloud, with the lines."""
    for name, rows in sets.rows.items():
        cut = [line for line, r in zip(rows.lines, rows.records, strict=True) if lm.encoder.row(r).cut]
        if cut:
            shown = ", ".join(map(str, cut[:10])) + (" ..." if len(cut) > 10 else "")
            say(f"  {name}: {len(cut)} rows are longer than {lm.max_length} tokens and are cut ({rows.unit}s {shown})")


def askable(plan: Recipe) -> None:
    """Refuse, before the long work, metrics, attacks and tasks that the audit at its end could not ask."""
    suite_of(plan).build()
    attacks_of(plan)
    loadable(plan.tasks)


def ask(
    models: Mapping[str, Worn], sets: Sets, plan: Recipe, promise: Guarantee, title: str, *, before: str = "",
    shipped: Mapping[str, Worn] | None = None, costs: Mapping[str, Cost] | None = None,
    say: Say = lambda _line: None, opens: Opening = opened,
) -> Report:  # fmt: skip
    """The audit of several models, and what attacks bring back.

    For attacks, `before` names the model as it was, and `shipped` holds the models that ship otherwise than worn here.
    """
    suite = suite_of(plan)
    axes = {
        "forget": ("forget", "probability"),
        "utility": ("retain" if "retain" in sets.roles else "forget", "probability"),
    }
    asked = {name: drawn(name, rows.records, plan.asked) for name, rows in sets.rows.items()}
    report = ask_all(
        models,
        asked,
        roles=sets.roles,
        suite=suite,
        axes=None if plan.benchmark or plan.facts or is_url(plan.model) else axes,
        show=plan.show,
        guarantee=promise,
        title=title,
        costs=costs,
        shadows=ask_list(sets.shadows, asked, lambda model: opened(model, plan), say),
    )
    fewer = {name: (len(asked[name]), len(rows.records)) for name, rows in sets.rows.items()}
    notes = [f"{name}: {k:,} of {n:,} rows were asked, drawn by their ids" for name, (k, n) in fewer.items() if k < n]
    if plan.benchmark:
        notes.insert(0, told(plan))
    labels = {**report.models, "original": {**report.models["original"], "label": _label(before or plan.model)}}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    wanted = Wanted(*(drawn(role, sets.of(role), plan.asked) for role in ("forget", "retain", "holdout")))
    found = attacked(
        {**models, **(shipped or {})}, wanted, attacks_of(plan), before=partial(opens, before, plan) if before else None,
        most=suite.max_new, progress=lambda what: say(f"attack: {what}"),
    )  # fmt: skip
    report = replace(report, notes=(*report.notes, *notes), models=labels, created=created, attacks=found)
    return withstood(tasked(report, models, plan.tasks, plan.limit, say))


def _label(model: str) -> str:
    """A hub id as it is; of a folder nothing but that it is one, since its name may say anything."""
    return shown(model) if is_url(model) else "original" if Path(model).exists() else model


def machine() -> dict[str, Any]:
    """Where and when this ran, and the most memory it held."""
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "peak memory in MB": round(peak() / 2**20),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
