"""The demonstration: a town's model is trained, some people leave, and two methods are asked to forget them."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import torch

from unteach import report as paper
from unteach.assemble import make_method
from unteach.audit.audit import audit
from unteach.audit.benchmarks.town import Town
from unteach.audit.control import mix
from unteach.audit.models import Worn
from unteach.audit.suite import of
from unteach.corrected import moved
from unteach.edit.bake import bake
from unteach.edit.cost import cost, tokens_of
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.inquiry import machine
from unteach.lm.fresh import Size, fresh
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.recipefile import read_recipe
from unteach.schema import Cost, InputError, Record, Report, Request

SCHOOL = Plan(
    tune="full", lr=2e-3, epochs=14, batch_size=16, accumulate=1, warmup_epochs=0.5, decay="cosine"
)  # how the town's model is taught
SIZE = Size(vocabulary=1024, hidden=128, layers=4, heads=4, inner=352, positions=64)
SUITE = of(
    "accuracy", "probability", "rougel", "exactmemorization", "truthratio", "mialoss", "perplexity", "refusalrate",
    "distinctoutputs", "kl", "efficiency", max_new=24,
)  # fmt: skip
ASKED = 100  # rows of the retain set that are asked
OURS = {"original", "retrained", "forget.jsonl", "retain.jsonl", *(name for name, _ in paper.FILES.values())}
TITLE = "Ten people leave town"
# The town's model reads a name at the question's end, not at the name itself, where `rome` and `memit` write; so one map
# in its middle is trained on the new answer. Rate and steps are those that move so small a model.
CORRECTING = {"layer": 0.5, "rate": 2e-3, "steps": 100}


def demo(folder: Path, *, seed: int = 0, say: Callable[[str], None] = lambda _line: None) -> Report:
    """Write a report, the town's models and its record files into a folder.

    Shown are the original, its retrained reference, gradient ascent (`ga`), and the settings of the `town`
    recipe (`default`). The notes say what correcting one fact of the original did. Everything follows from the seed.
    """
    began, town = perf_counter(), Town(seed=seed)
    paper.folder(folder)
    if strangers := {p.name for p in folder.iterdir() if not p.name.startswith(".")} - OURS:
        raise InputError(
            f"{folder}: holds {len(strangers)} things that no demonstration wrote; name another with --out"
        )
    say("teaching the town to a newborn model of a million parameters, and again without the people who leave")
    lm = _both(town, folder)
    settings = read_recipe(Path(__file__).parent / "recipes" / "town.yaml")
    name = str(settings.pop("method"))
    again = SCHOOL.epochs * tokens_of(lm, town.lessons(without_forgotten=True))
    edits, costs = {}, {}
    for label, method, options in (("ga", "ga", {**settings, "epochs": 5}), ("default", name, settings)):
        say(f"forgetting by {method}")
        start = perf_counter()
        edits[label] = make_method(method, options)(lm, town.request())
        costs[label] = cost(lm, edits[label], perf_counter() - start, again, measured=True)
    default = edits["default"]
    say("asking all four models")
    report = _asked(town, lm, edits, costs, folder / "retrained")
    settings = {"name": f"{name} (default) and ga", **settings, "seed": seed}
    sets = town.sets()
    report = replace(
        report,
        request={"id": "town", "scope": "subject", "reason": TITLE},
        method=settings,
        trajectory=default.history,
        mixing={"default": mix(lm, default, sets["forget"], sets["retain"])},
        notes=(*report.notes, *_one_corrected(lm, town, say)),
        environment={**report.environment, **machine(), "seconds": round(perf_counter() - began, 1)},
    )
    _records(folder, town)
    paper.write(report, folder)
    return report


def _one_corrected(lm: LM, town: Town, say: Callable[[str], None]) -> tuple[str, ...]:
    """A new trade for somebody who stays, on the original: what became of it, and of what lies beside it."""
    say("correcting one fact by ft")
    fact = town.correction()
    edit = make_method("ft", CORRECTING)(lm, Request(facts=(fact,)))
    lines = [f"One fact corrected: {line}" for line in moved(lm, edit, (fact,), max_new=SUITE.max_new, show=True)]
    for line in lines:
        say(line)
    return tuple(lines)


def _both(town: Town, folder: Path) -> LM:
    """The original here and the retrained reference in a process beside, one thread each: such models want no more."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as beside:
        reference = beside.submit(_taught, town, folder / "retrained", without_forgotten=True)
        lm = load(_taught(town, folder / "original", without_forgotten=False))
        reference.result()
    return lm


def _taught(town: Town, folder: Path, *, without_forgotten: bool) -> Path:
    torch.set_num_threads(1)
    texts = [f"{r.prompt} {r.answer}" for r in town.lessons()]  # one tokenizer for both models
    newborn = fresh(texts, SIZE, seed=town.seed)
    edit = learn(newborn, town.lessons(without_forgotten=without_forgotten), replace(SCHOOL, seed=town.seed))
    bake(edit, newborn, folder)
    return folder


def _asked(
    town: Town, lm: LM, edits: Mapping[str, Edit], costs: Mapping[str, Cost], retrained: Path
) -> Report:  # fmt: skip
    sets: dict[str, Sequence[Record]] = dict(town.sets())
    sets["retain"] = sets["retain"][:ASKED]
    models: dict[str, Worn] = {"original": lm, "retrained": load(retrained)}
    models |= {name: partial(edit.on, lm) for name, edit in edits.items()}
    axes = {"forget": ("forget", "accuracy"), "utility": ("retain", "accuracy")}
    # The people are invented, so their answers may be shown.
    return audit(models, sets, roles=town.roles, suite=SUITE, axes=axes, costs=costs, show=True, title=TITLE)


def _records(folder: Path, town: Town) -> None:
    """The town's rows as files, to go on with by hand."""
    request = town.request()
    for name, records in (("forget", request.forget), ("retain", request.retain)):
        lines = [json.dumps({"id": r.id, "question": r.prompt, "answer": r.answer}) for r in records]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
