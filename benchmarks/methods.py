"""Every method that changes weights, on the town and on TOFU forget10: what goes, what stays, what comes back, what it costs.

Each makes the same models forget, in a process of its own and by one plan for all of a world, and is asked as it comes
out; then some of the forgotten rows are trained on, and the weights are rounded. The taught models, and the edits of
methods that are there already, are those of `objectives`. Every part that is done is kept under --out, so a run that
was stopped goes on where it was.
"""

import argparse
import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from time import process_time
from types import FrameType
from typing import Any

from benchmarks import methods_page, objectives
from benchmarks.parts import each, kept
from benchmarks.worlds import ASKED, World, opened, place_of, pupil, teach, worlds
from unteach.assemble import make_method
from unteach.audit.attacked import Rows, attacked
from unteach.audit.audit import audit
from unteach.audit.models import ORIGINAL, RETRAINED, Worn
from unteach.audit.suite import of
from unteach.edit.cost import peak
from unteach.edit.edit import Edit
from unteach.edit.store import load as load_edit
from unteach.edit.store import save as save_edit
from unteach.registry import Entry, entries, find
from unteach.report import to_json
from unteach.report.atomic import folder, put
from unteach.schema import Finding, InputError

SUITE = (  # what verdicts rest on, and distinct n-grams
    "probability", "rougel", "paraphrase", "exactmemorization", "extractionstrength", "truthratio", "accuracy", "mialoss",
    "perplexity", "refusalrate", "distinctoutputs", "distinctn",
)  # fmt: skip
ATTACKS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("relearn", {"epochs": 3, "lr": (1e-3, 3e-3)}),
    ("quantise", {}),
)
PATIENCE = 1800  # seconds
ROWS = frozenset({"forget", "retain", "holdout"})


@dataclass(frozen=True)
class Run:
    """Where parts are kept, where those of `objectives` lie, and how many seconds a method may take."""

    out: Path
    taught: Path
    patience: int = PATIENCE

    def place(self, world: World, name: str) -> Path:
        return place_of(world, self.out) / name


def main(arguments: list[str]) -> None:
    """Forget by every method, ask, attack, and write the page's tables."""
    parser = argparse.ArgumentParser("python -m benchmarks methods", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with TOFU's JSON files")
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    parser.add_argument("--taught", type=Path, default=Path("runs/objectives"), help="the --out of `objectives`")
    parser.add_argument("--worlds", default="town,tofu")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--only", default="", help="names with commas between; all by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--patience", type=int, default=PATIENCE, help="seconds that a method may take")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    chosen = parser.parse_args(arguments)
    run = Run(chosen.out, chosen.taught, chosen.patience)
    found = worlds(chosen.worlds, [int(s) for s in chosen.seeds.split(",")], chosen.data)
    each([partial(teach, w, run.taught, which) for w in found for which in (ORIGINAL, RETRAINED)], chosen.workers)
    each([partial(reference, w, run, which) for w in found for which in (ORIGINAL, RETRAINED)], chosen.workers)
    wanted = set(filter(None, chosen.only.split(",")))
    tasks = [partial(judged, w, run, *row) for w in found for row in rows(w) if not wanted or row[0] in wanted]
    each(tasks, chosen.workers, apart=True)
    methods_page.write(chosen.page, run.out, list(dict.fromkeys(w.name for w in found)), elsewhere())


def rows(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    """A row's name, the method and its options; those that `objectives` compares have its options."""
    mine = {e.name: (e.name, _options(e.name, world.forgetting)) for e in entries("method") if fits(e)}
    return [(name, *row) for name, row in sorted({**mine, **objectives.methods(world)}.items())]


def fits(found: Entry) -> bool:
    """Whether a method changes weights and needs nothing but rows; `finetune` is there by each of its objectives."""
    return found.guarantee != "suppression" and set(found.needs) <= ROWS and found.name != "finetune"


def elsewhere() -> dict[str, list[str]]:
    """The methods that are not in the table, by the reason."""
    why: dict[str, list[str]] = {"facts": [], "labels": [], "no weight": []}
    for found in entries("method"):
        need = next((n for n in ("facts", "labels") if n in found.needs), "no weight")
        if not fits(found) and found.name != "finetune":
            why[need].append(found.name)
    return why


def _options(name: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The world's plan where a method trains by one, but for what it has a setting of its own for; and the seed."""
    own = {f.name for f in fields(find("method", name))}
    trained = {k: v for k, v in plan.items() if k not in own} if "plan" in own else {}
    return trained | ({"seed": plan["seed"]} if "seed" in own else {})


def reference(world: World, run: Run, which: str) -> None:
    """What the model as it was, or the one that never saw the rows, scores and gives away."""
    models: dict[str, Worn] = {
        ORIGINAL: pupil(world, run.taught, ORIGINAL),
        RETRAINED: partial(opened, world, run.taught),
    }
    _asked(world, run, which, models)


def judged(world: World, run: Run, name: str, method: str, options: Mapping[str, Any]) -> None:
    """One method: its edit with what it took, or why there is none; what the model then scores and gives away."""
    began, place = process_time(), run.place(world, name)
    made = kept(place / "made.json", partial(_made, world, run, name, method, options))
    if "failed" not in made:
        lm = pupil(world, run.taught, ORIGINAL)
        _asked(world, run, name, {ORIGINAL: lm, name: partial(load_edit(Path(made["edit"])).on, lm)})
    print(f"{place}: {process_time() - began:.0f} s {made.get('failed', '')}", flush=True)


def _made(world: World, run: Run, name: str, method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Where the edit lies, the seconds of processor time that it took, and the bytes beyond those of the loaded model.

    Where the edit is there already, its seconds were noted, and the bytes are those of one epoch.
    """
    place, before = run.place(world, name) / "edit", place_of(world, run.taught) / "edits" / name
    noted = json.loads(_text(before / "equal.json") or "{}")
    maker = make_method(method, {**options, "epochs": 1} if noted else options)
    lm = pupil(world, run.taught, ORIGINAL)
    held, began = peak(), process_time()
    try:
        with _patient(run.patience):
            edit: Edit = maker(lm, world.request)
    except InputError as refused:
        return {"failed": str(refused)}
    spent = {"seconds": process_time() - began, "bytes": peak() - held}
    if noted:
        return {**spent, "seconds": noted["seconds"], "edit": str(before)}
    save_edit(edit, place)
    return {**spent, "edit": str(place)}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


@contextmanager
def _patient(seconds: int) -> Iterator[None]:
    """Refuse what takes longer."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise InputError(f"not done after {seconds} seconds")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _asked(world: World, run: Run, name: str, models: Mapping[str, Worn]) -> None:
    """Ask one of the models by itself, so that what the others say is asked once a world and not once a method."""
    place = run.place(world, name)
    if (place / "asked.json").exists():
        return
    sets = {s: r[:ASKED] for s, r in world.sets.items()}
    alone = {ORIGINAL: models[name]}
    report = audit(alone, sets, roles=world.roles, suite=of(*SUITE, max_new=world.max_new), title=name)
    found = _attacked(world, models[ORIGINAL], models[name]) if name != ORIGINAL else ()
    put(folder(place) / "asked.json", to_json(replace(report, examples=(), attacks=found)).encode())


def _attacked(world: World, original: Worn, model: Worn) -> tuple[Finding, ...]:
    """What attacks bring back; the retrained model is attacked as every other, to be read beside them."""
    asked = Rows(*(world.sets[s][:ASKED] for s in ("forget", "retain", "holdout")))
    pair = {ORIGINAL: original, "edited": model}
    return attacked(pair, asked, ATTACKS, most=world.max_new, seed=world.seed)
