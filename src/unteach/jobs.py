"""The main job: read what must go and what must stay, train, audit, release; and audit, undo, finalise by themselves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from unteach import report as paper
from unteach.assemble import make_method, settings
from unteach.audit.control import mix
from unteach.audit.models import Worn
from unteach.corrected import moved
from unteach.edit import release as shelf
from unteach.edit.checkpoint import checkpoints_in
from unteach.edit.cost import cost, tokens_of
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.edit.store import load as load_edit
from unteach.edit.takeout import take_out
from unteach.inquiry import ask, askable, baked, machine, open_model, retrained_models, say_lengths
from unteach.lm.address import is_url, several
from unteach.lm.model import LM
from unteach.reach import met, reached
from unteach.recipe import Recipe, make_audit, make_recipe, options_of
from unteach.schema import Guarantee, InputError, Report, Request
from unteach.sets import Say, correctable, read_sets, request_of, suite_of

INSIDE = {"checkpoints", "key", "sealed", ".sealed-writing"}  # what `private` holds
UNKNOWN = Guarantee("none", claim="How this model was changed is not known here; the report is what was measured.")
SERVED = Guarantee("none", claim="The model is served and may hide; what the weights still know was not tested.")
NO_RECORDS = (
    "A concept is no set of records, so there is no verdict: a verdict asks whether records are forgotten. Read what a probe "
    "of the concept finds, and what was kept."
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a forgetting gave: the edit, its report, and the files that were written."""

    edit: Edit
    report: Report
    files: Mapping[str, Path]


def forget(recipe: Recipe | Mapping[str, Any], *, say: Say = lambda _line: None) -> Outcome:
    """Forget or correct: DIR/release is the model that did, DIR/report.html says how well, DIR/private can take it back.

    Raises `InputError` before anything is written for whatever cannot be used. The same call after an interrupted
    one goes on where it was.
    """
    plan = recipe if isinstance(recipe, Recipe) else make_recipe(recipe)
    out = Path(plan.out)
    method = make_method(plan.method, options_of(plan, plan.method))
    _agree(plan, method)
    _vacant(out)
    sets = read_sets(plan, say)
    request = correctable(request_of(plan, sets, say), method, plan)
    lm = open_model(plan.model, plan, say)
    others = retrained_models(plan)
    say_lengths(lm, sets, say)
    with made(out), checkpoints_in(out / "private" / "checkpoints"):
        say(_undertaken(request, plan.method))
        began = perf_counter()
        edit = method(lm, request)
        trained = perf_counter() - began
        say("asking the models")
        models: dict[str, Worn] = {"original": lm, "edited": partial(edit.on, lm), **others}
        passes = getattr(getattr(method, "plan", None), "epochs", 0.0)  # retraining is estimated as equally many
        costs = {"edited": cost(lm, edit, trained, passes * tokens_of(lm, request.retain))}
        title = f"{'Forgetting' if request.forget else 'Correcting'} with {plan.method}"
        shipped = {"edited": partial(baked, edit, lm)} if plan.release == "baked" else {}
        report = ask(
            models, sets, plan, edit.guarantee, title, before=plan.model, shipped=shipped, costs=costs, say=say
        )
        report = _told(report, plan, request, method, edit, trained)
        report = _seen(report, lm, edit, request, plan)
        say("writing the release")
        files = paper.write(report, out)
        shelf.release(edit, lm, out, form=plan.release, about=_about(plan, request), card=paper.model_card(report))
    return Outcome(edit, report, {**files, "release": out / "release"})


def _seen(report: Report, lm: LM, edit: Edit, request: Request, plan: Recipe) -> Report:
    """What is measured of the edit itself: parts of it mixed in, and what became of each fact."""
    if request.forget:
        report = replace(report, mixing={"edited": mix(lm, edit, request.forget, request.retain)})
    if plan.known < 1:
        told = (
            f"The method was told of {len(request.forget)} rows to forget; what is asked under forget is all of them."
        )
        report = replace(report, notes=(*report.notes, told))
    if request.scope == "concept":
        report = replace(report, verdicts={}, notes=(*report.notes, NO_RECORDS))
    if request.facts:
        lines = moved(lm, edit, request.facts, max_new=suite_of(plan).max_new, show=plan.show)
        report = replace(report, notes=(*report.notes, *lines), verdicts=report.verdicts if request.forget else {})
    return report


def _undertaken(request: Request, method: str) -> str:
    parts = [f"{len(request.forget)} records to forget"] if request.forget else []
    parts += [f"{len(request.facts)} facts to correct"] if request.facts else []
    return f"{method}: {' and '.join(parts)}"


def audit(given: Mapping[str, Any], *, say: Say = lambda _line: None) -> Report:
    """Audit a model that something else changed, or that nothing did; keys as in `Recipe`, and `before`.

    `before` is the model it was made from, `retrained` one that never saw the rows. Without `before` the model
    stands for itself and there is no verdict. `worn` is a saved edit that it wears. The report is written where `out` says.
    """
    plan, more = make_audit(given)
    before = more.before or (plan.model if more.worn else "")
    edit = load_edit(Path(more.worn)) if more.worn else None
    out = Path(plan.out) if given.get("out") else None
    _agree(plan, None, before)
    if out is not None and (out / "run.json").exists():
        raise InputError(f"{out}: holds the result of a forgetting, and its report; choose another folder with --out")
    sets = read_sets(plan, say)
    opens = partial(reached, more)
    lm = met(more, before or plan.model, plan, say)
    if lm.held is not None:
        say_lengths(lm.held, sets, say)
    models: dict[str, Worn] = {"original": lm, **retrained_models(plan, opens)}
    if edit is not None and lm.held is not None:
        edit.check_base(lm.held)
        models["edited"] = partial(edit.on, lm.held)
    elif before:
        models["edited"] = met(more, plan.model, plan, say) if is_url(plan.model) else partial(opens, plan.model, plan)
    what, promise = ("a served model", SERVED) if is_url(plan.model) else (Path(plan.model).name, UNKNOWN)
    promise = promise if edit is None else edit.guarantee
    with made(out) if out is not None else nullcontext():
        report = ask(models, sets, plan, promise, f"Audit of {what}", before=before, say=say, opens=opens)
        report = replace(report, environment={**report.environment, **machine()})
        if out is not None:
            paper.write(report, out)
    return report


def undo(folder: str | Path, *, only: str | Path = "") -> str:
    """Put the original back into DIR/release, bit for bit; returns its digest.

    With `only`, the folder of an earlier run that this one's model was made on, that edit alone is taken out.
    """
    return take_out(Path(folder), Path(only)) if only else shelf.undo(Path(folder))


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
    askable(plan)
    training = getattr(method, "plan", None)
    if isinstance(training, Plan) and plan.release == "adapter" and not getattr(method, "makes_adapter", training.lora):
        tune = training.tune or f"what {plan.method} trains"
        raise InputError(f"--tune {tune} makes no adapter; choose --release baked, or --tune lora")
    worn = getattr(method, "guarantee", "") == "suppression" and not getattr(method, "fold", False)
    if worn and plan.release != "edit":
        raise InputError(
            f"{plan.method} changes no weight, so there is no model to release; choose --release edit, which is worn, or "
            "another method"
        )
    if isinstance(training, Plan) and training.stop_retain is not None and not plan.keeps:
        raise InputError("--stop-retain watches the records to keep; give --retain FILE")
    models = [Path(m) for m in (plan.model, before, *several(plan.retrained)) if m]
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


def _told(report: Report, plan: Recipe, request: Request, method: Any, edit: Edit, seconds: float) -> Report:
    about = {"id": request.id, "reason": request.reason, "scope": request.scope}
    cost = {"training seconds": round(seconds, 1)}
    return replace(
        report,
        request={k: v for k, v in about.items() if v},
        method={"name": plan.method, **settings(method), "edit": edit.digest()[:16]},
        trajectory=edit.history,
        environment={**report.environment, **machine(), **cost},
    )


def _about(plan: Recipe, request: Request) -> dict[str, Any]:
    return {"method": plan.method, "options": {k: str(v) for k, v in plan.options.items()}, "request": request.id}
