"""What a run reads, opens and asks, by its recipe: record files, models, metrics, attacks."""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from unteach.audit.attacked import Rows as Wanted
from unteach.audit.attacked import attacked
from unteach.audit.audit import audit as ask_all
from unteach.audit.models import Worn
from unteach.audit.suite import DEFAULT, FULL, Suite
from unteach.audit.withstood import withstood
from unteach.data import Rows, check, read, refuse
from unteach.edit.cost import peak
from unteach.edit.edit import Edit
from unteach.edit.plan import draw
from unteach.edit.worn import flat
from unteach.lm.batch import Template
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.recipe import Recipe
from unteach.registry import build, entries
from unteach.schema import Cost, Guarantee, Record, Report, Request

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sets:
    """Record files by what they are for: forget, retain, holdout, general."""

    rows: Mapping[str, Rows]

    def of(self, name: str) -> tuple[Record, ...]:
        return self.rows[name].records if name in self.rows else ()


def request_of(plan: Recipe, sets: Sets) -> Request:
    """What a method is asked for."""
    rows = (sets.of("forget"), sets.of("retain"), sets.of("holdout"))
    return Request(*rows, scope=plan.scope, id=plan.id, reason=plan.reason)


def read_sets(plan: Recipe, say: Say) -> Sets:
    """Every file that the recipe names, checked against the others; what is found is said."""
    sources = {"forget": plan.forget, "retain": plan.retain, "holdout": plan.holdout, "general": plan.general}
    rows = {name: read(source, limit=plan.limit) for name, source in sources.items() if source}
    for name, found in rows.items():
        say(f"{name}: {len(found.records)} records from {found.source} ({found.legend})")
        for note in found.notes:
            say(f"  {note}")
    findings = check(rows["forget"], retain=rows.get("retain"), holdout=rows.get("holdout"), near=plan.near)
    for finding in findings:
        say(f"  {finding.message}")
    refuse(findings)
    return Sets(rows)


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


def retrained_model(plan: Recipe) -> dict[str, Worn]:
    """The model trained without the rows; opened once before the long work, so that this does not end in a refusal."""
    if not plan.retrained:
        return {}
    _load(plan.retrained, plan)
    return {"retrained": partial(opened, plan.retrained, plan)}


def say_lengths(lm: LM, sets: Sets, say: Say) -> None:
    """Truncation is said aloud, with the lines."""
    for name, rows in sets.rows.items():
        cut = [line for line, r in zip(rows.lines, rows.records, strict=True) if lm.encoder.row(r).cut]
        if cut:
            shown = ", ".join(map(str, cut[:10])) + (" ..." if len(cut) > 10 else "")
            say(f"  {name}: {len(cut)} rows are longer than {lm.max_length} tokens and are cut ({rows.unit}s {shown})")


def suite_of(plan: Recipe) -> Suite:
    """The metrics that a recipe names; the usual ones where it names none."""
    if plan.metrics.strip() == "all":
        return replace(FULL, max_new=plan.max_new)
    chosen: tuple[tuple[str, Mapping[str, Any]], ...] = tuple(
        (n.strip(), {}) for n in plan.metrics.split(",") if n.strip()
    )
    return Suite(chosen or DEFAULT.metrics, plan.max_new)


def attacks_of(plan: Recipe) -> list[tuple[str, Mapping[str, Any]]]:
    """The attacks that a recipe names; each is built, so that an unknown one is refused before anything is read."""
    names = [n.strip() for n in plan.attacks.split(",") if n.strip()]
    chosen = [e.name for e in entries("attack")] if names == ["all"] else names
    for name in chosen:
        build("attack", name, {})
    return [(name, {}) for name in chosen]


def ask(
    models: Mapping[str, Worn], sets: Sets, plan: Recipe, promise: Guarantee, title: str, *, before: str = "",
    shipped: Mapping[str, Worn] | None = None, costs: Mapping[str, Cost] | None = None,
    say: Say = lambda _line: None,
) -> Report:  # fmt: skip
    """The audit of several models, and what attacks bring back.

    For attacks, `before` names the model as it was, and `shipped` holds the models that ship otherwise than worn here.
    """
    roles = {name: name for name in sets.rows}
    axes = {
        "forget": ("forget", "probability"),
        "utility": ("retain" if "retain" in roles else "forget", "probability"),
    }
    asked = {name: drawn(name, rows.records, plan.asked) for name, rows in sets.rows.items()}
    report = ask_all(
        models,
        asked,
        roles=roles,
        suite=suite_of(plan),
        axes=axes,
        show=plan.show,
        guarantee=promise,
        title=title,
        costs=costs,
    )
    fewer = {name: (len(asked[name]), len(rows.records)) for name, rows in sets.rows.items()}
    notes = (f"{name}: {k:,} of {n:,} rows were asked, drawn by their ids" for name, (k, n) in fewer.items() if k < n)
    labels = {**report.models, "original": {**report.models["original"], "label": _label(plan.model)}}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    wanted = Wanted(asked["forget"], asked.get("retain", ()), asked.get("holdout", ()))
    found = attacked(
        {**models, **(shipped or {})}, wanted, attacks_of(plan), before=partial(opened, before, plan) if before else None,
        most=plan.max_new, progress=lambda what: say(f"attack: {what}"),
    )  # fmt: skip
    report = replace(report, notes=(*report.notes, *notes), models=labels, created=created, attacks=found)
    return withstood(report)


def _label(model: str) -> str:
    """A hub id as it is; of a folder nothing but that it is one, since its name may say anything."""
    return "original" if Path(model).exists() else model


def drawn(name: str, records: Sequence[Record], most: int) -> Sequence[Record]:
    """At most so many records, whatever their order in the file; they keep that order."""
    if not most or len(records) <= most:
        return records
    chosen = sorted(range(len(records)), key=lambda i: draw("asked", name, records[i].id))[:most]
    return [records[i] for i in sorted(chosen)]


def machine() -> dict[str, Any]:
    """Where and when this ran, and the most memory it held."""
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "peak memory in MB": round(peak() / 2**20),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
