"""The main job: read what must go and what must stay, train, audit, release; and audit, undo, finalise by themselves."""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from unteach import report as paper
from unteach.audit.audit import Worn
from unteach.audit.audit import audit as ask_all
from unteach.audit.control import mix
from unteach.audit.suite import DEFAULT, FULL, Suite
from unteach.data import Rows, check, read, refuse
from unteach.edit import release as shelf
from unteach.edit.checkpoint import checkpoints_in
from unteach.edit.cost import cost, peak, tokens_of
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan, draw
from unteach.lm.batch import Template
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.recipe import Recipe, make_audit, make_method, make_recipe, settings
from unteach.schema import Cost, Guarantee, InputError, Record, Report, Request

Say = Callable[[str], None]
INSIDE = {"checkpoints", "key", "sealed", ".sealed-writing"}  # what `private` holds
UNKNOWN = Guarantee("none", claim="How this model was changed is not known here; the report is what was measured.")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a forgetting gave: the edit, its report, and the files that were written."""

    edit: Edit
    report: Report
    files: Mapping[str, Path]


@dataclass(frozen=True)
class _Sets:
    rows: Mapping[str, Rows]

    def of(self, name: str) -> tuple[Record, ...]:
        return self.rows[name].records if name in self.rows else ()


def forget(recipe: Recipe | Mapping[str, Any], *, say: Say = lambda _line: None) -> Outcome:
    """Forget: DIR/release is the model that forgot, DIR/report.html says how well, DIR/private can take it back.

    Raises `InputError` before anything is written for whatever cannot be used. The same call after an interrupted
    one goes on where it was.
    """
    plan = recipe if isinstance(recipe, Recipe) else make_recipe(recipe)
    out = Path(plan.out)
    method = make_method(plan.method, plan.options)
    _agree(plan, method)
    _vacant(out)
    sets = _read(plan, say)
    lm = _open(plan.model, plan, say)
    others = _retrained(plan)
    _lengths(lm, sets, say)
    with made(out), checkpoints_in(out / "private" / "checkpoints"):
        say(f"forgetting {len(sets.of('forget'))} records with {plan.method}")
        began = perf_counter()
        edit = method(lm, _request(plan, sets))
        trained = perf_counter() - began
        say("asking the models")
        models: dict[str, Worn] = {"original": lm, "edited": partial(edit.on, lm), **others}
        passes = getattr(getattr(method, "plan", None), "epochs", 0.0)  # retraining is estimated as equally many
        costs = {"edited": cost(lm, edit, trained, passes * tokens_of(lm, sets.of("retain")))}
        report = _audit(models, sets, plan, edit.guarantee, f"Forgetting with {plan.method}", costs)
        report = _told(report, plan, method, edit, trained)
        report = replace(report, mixing={"edited": mix(lm, edit, sets.of("forget"), sets.of("retain"))})
        say("writing the release")
        files = paper.write(report, out)
        form: shelf.Form = "adapter" if plan.release == "adapter" else "baked"
        shelf.release(edit, lm, out, form=form, about=_about(plan), card=paper.model_card(report))
    return Outcome(edit, report, {**files, "release": out / "release"})


def audit(given: Mapping[str, Any], *, say: Say = lambda _line: None) -> Report:
    """Audit a model that something else changed, or that nothing did; keys as in `Recipe`, and `before`.

    `before` is the model it was made from, `retrained` one that never saw the rows. Without `before` the model
    stands for itself and there is no verdict. The report is written where `out` says.
    """
    plan, more = make_audit(given)
    before = more.before
    out = Path(plan.out) if given.get("out") else None
    _agree(plan, None, before)
    if out is not None and (out / "run.json").exists():
        raise InputError(f"{out}: holds the result of a forgetting, and its report; choose another folder with --out")
    sets = _read(plan, say)
    lm = _open(before or plan.model, plan, say)
    _lengths(lm, sets, say)
    models: dict[str, Worn] = {"original": lm, **_retrained(plan)}
    if before:
        models["edited"] = partial(_worn, plan.model, plan)
    with made(out) if out is not None else nullcontext():
        report = _audit(models, sets, plan, UNKNOWN, f"Audit of {Path(plan.model).name}")
        report = replace(report, environment={**report.environment, **machine()})
        if out is not None:
            paper.write(report, out)
    return report


def undo(folder: str | Path) -> str:
    """Put the original back into DIR/release, bit for bit; returns its digest."""
    return shelf.undo(Path(folder))


def finalise(folder: str | Path) -> None:
    """Destroy DIR/private, and every record text that a report was asked to show: no way back, and nothing left."""
    place = Path(folder)
    shelf.read_run(place)
    if (place / "report.json").is_file():
        shown = paper.read(place / "report.json")
        if not shown.masked:
            paper.write(replace(shown, examples=(), masked=True), place)
    shelf.finalise(place)


def _agree(plan: Recipe, method: Any = None, before: str = "") -> None:
    """Refuse, before anything is read, settings that contradict each other or name what does not exist."""
    _suite(plan).build()
    training = getattr(method, "plan", None)
    if isinstance(training, Plan) and plan.release == "adapter" and not getattr(method, "makes_adapter", training.lora):
        tune = training.tune or f"what {plan.method} trains"
        raise InputError(f"--tune {tune} makes no adapter; choose --release baked, or --tune lora")
    if isinstance(training, Plan) and training.stop_retain is not None and not plan.retain:
        raise InputError("--stop-retain watches the records to keep; give --retain FILE")
    models = [Path(m) for m in (plan.model, before, plan.retrained) if m]
    if plan.base and all(m.is_dir() and not (m / "adapter_config.json").is_file() for m in models):
        raise InputError(f"--base is the model under an adapter, and {models[0]} is a whole model; leave --base out")


def _vacant(out: Path) -> None:
    """Refuse a folder that holds anything but an unfinished run of ours: what is in `private` will be destroyed."""
    try:
        names = {p.name for p in out.iterdir()} if out.is_dir() else set()
        inner = {p.name for p in (out / "private").iterdir()} if "private" in names else set()
    except (OSError, ValueError) as closed:
        raise InputError(f"{out}: cannot be looked into; choose another folder with --out") from closed
    if "run.json" in names:
        raise InputError(f"{out}: holds the result of an earlier run; choose another folder with --out, or remove it")
    ours = {"private", "release", *(name for name, _ in paper.FILES.values())}
    strangers = inner - INSIDE | {n for n in names - ours if not n.startswith(".")}
    if strangers or (names and "private" not in names):
        raise InputError(f"{out}: not empty, and not an unfinished run; choose an empty or a new folder with --out")


@contextmanager
def made(out: Path) -> Iterator[None]:
    """The folder, made before long work begins; where the work fails, what was made and is still empty goes again."""
    fresh = [p for p in (out, *out.parents) if not p.exists()]
    paper.folder(out)
    try:
        yield
    except BaseException:
        for path in fresh:
            with suppress(OSError):
                path.rmdir()
        raise


def _request(plan: Recipe, sets: _Sets) -> Request:
    rows = (sets.of("forget"), sets.of("retain"), sets.of("holdout"))
    return Request(*rows, scope=plan.scope, id=plan.id, reason=plan.reason)


def _read(plan: Recipe, say: Say) -> _Sets:
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
    return _Sets(rows)


def _open(model: str, plan: Recipe, say: Say) -> LM:
    lm = _opened(model, plan)
    count = sum(p.numel() for p in lm.model.parameters())
    say(f"model: {model} ({lm.model.config.model_type}, {count:,} parameters, {lm.device.type})")
    return lm


def _opened(model: str, plan: Recipe) -> LM:
    template = Template(plan.template, system=plan.system) if plan.template or plan.system else None
    return load(model, template=template, base=plan.base or None, device=plan.device)


@contextmanager
def _worn(model: str, plan: Recipe) -> Iterator[LM]:
    """A model that is opened when its turn comes, and gone after it."""
    yield _opened(model, plan)


def _retrained(plan: Recipe) -> dict[str, Worn]:
    """The model trained without the rows; opened once before the long work, so that this does not end in a refusal."""
    if not plan.retrained:
        return {}
    _opened(plan.retrained, plan)
    return {"retrained": partial(_worn, plan.retrained, plan)}


def _lengths(lm: LM, sets: _Sets, say: Say) -> None:
    """Truncation is said aloud, with the lines."""
    for name, rows in sets.rows.items():
        cut = [line for line, r in zip(rows.lines, rows.records, strict=True) if lm.encoder.row(r).cut]
        if cut:
            shown = ", ".join(map(str, cut[:10])) + (" ..." if len(cut) > 10 else "")
            say(f"  {name}: {len(cut)} rows are longer than {lm.max_length} tokens and are cut ({rows.unit}s {shown})")


def _suite(plan: Recipe) -> Suite:
    if plan.metrics.strip() == "all":
        return replace(FULL, max_new=plan.max_new)
    chosen: tuple[tuple[str, Mapping[str, Any]], ...] = tuple(
        (n.strip(), {}) for n in plan.metrics.split(",") if n.strip()
    )
    return Suite(chosen or DEFAULT.metrics, plan.max_new)


def _audit(
    models: Mapping[str, Any], sets: _Sets, plan: Recipe, promise: Guarantee, title: str,
    costs: Mapping[str, Cost] | None = None,
) -> Report:  # fmt: skip
    roles = {name: name for name in sets.rows}
    axes = {
        "forget": ("forget", "probability"),
        "utility": ("retain" if "retain" in roles else "forget", "probability"),
    }
    asked = {name: _drawn(name, rows.records, plan.asked) for name, rows in sets.rows.items()}
    report = ask_all(
        models,
        asked,
        roles=roles,
        suite=_suite(plan),
        axes=axes,
        show=plan.show,
        guarantee=promise,
        title=title,
        costs=costs,
    )
    fewer = {name: (len(asked[name]), len(rows.records)) for name, rows in sets.rows.items()}
    notes = (f"{name}: {k:,} of {n:,} rows were asked, drawn by their ids" for name, (k, n) in fewer.items() if k < n)
    models = {**report.models, "original": {**report.models["original"], "label": _label(plan.model)}}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return replace(report, notes=(*report.notes, *notes), models=models, created=created)


def _label(model: str) -> str:
    """A hub id as it is; of a folder nothing but that it is one, since its name may say anything."""
    return "original" if Path(model).exists() else model


def _drawn(name: str, records: Sequence[Record], most: int) -> Sequence[Record]:
    """At most so many records, whatever their order in the file; they keep that order."""
    if not most or len(records) <= most:
        return records
    chosen = sorted(range(len(records)), key=lambda i: draw("asked", name, records[i].id))[:most]
    return [records[i] for i in sorted(chosen)]


def _told(report: Report, plan: Recipe, method: Any, edit: Edit, seconds: float) -> Report:
    request = {k: v for k, v in {"id": plan.id, "reason": plan.reason, "scope": plan.scope}.items() if v}
    cost = {"training seconds": round(seconds, 1)}
    return replace(
        report,
        request=request,
        method={"name": plan.method, **settings(method), "edit": edit.digest()[:16]},
        trajectory=edit.history,
        environment={**report.environment, **machine(), **cost},
    )


def machine() -> dict[str, Any]:
    """Where and when this ran, and the most memory it held."""
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "peak memory in MB": round(peak() / 2**20),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _about(plan: Recipe) -> dict[str, Any]:
    return {"method": plan.method, "options": {k: str(v) for k, v in plan.options.items()}, "request": plan.id}
