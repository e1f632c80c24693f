"""Methods that correct facts, on one small model: trained editors, every method on benchmarks, a hundred facts.

`trained`: trained editors beside plain fine-tuning of the same weights, each fact corrected alone, at equal locality.
`table` (with --data): every method on the model's own facts, CounterFact, zsRE and KnowEdit, each fact corrected alone.
`many`: a hundred facts at once and one after another. `register` (without --models): ROME and MEMIT on models of three
shapes that know the town. What is done is kept under --out.

MEND and KnowledgeEditor practise on the invented facts of a small model; 200 facts, of people whom no lesson mentions,
are held out. Fine-tuning goes through all its steps at several rates, and stops either after so many steps or where
the new answer's loss is low enough; where its mean locality passes that of an editor, its reliability is read off
(between two neighbouring settings in proportion), for each rate and rule.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from time import perf_counter, process_time
from typing import Any

import torch

from benchmarks.corrected import write_page
from benchmarks.figures import RESULTS, circumstances
from benchmarks.parts import kept
from benchmarks.register import SHAPES
from benchmarks.registered import run, shapes_of
from benchmarks.runs import Runs
from benchmarks.straightforward.finetuning import finetuned
from unteach.assemble import make_method
from unteach.data.facts import question, read_facts
from unteach.edit.edit import Edit
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.facts.gradients import mlp_maps
from unteach.methods.facts.held import Held, apart, held
from unteach.methods.facts.lessons import row
from unteach.methods.facts.train_editor import train_editor
from unteach.schema import Fact

HELD = 200
RATES = (3e-4, 1e-3)
STEPS = 15
ENOUGH = (3.0, 2.0, 1.5, 1.0, 0.7, 0.4, 0.2, 0.1)  # nats a token
AFTER = (1, 2, 3, 4, 5, 6, 8, 10, 15)
EDITORS: dict[str, dict[str, Any]] = {
    "mend": {"rank": 256, "steps": 1200},
    "ke": {"hidden": 256, "steps": 6000, "lr": 2e-3},
}


@dataclass(frozen=True)
class Point:
    """One setting of fine-tuning, and what it reaches."""

    setting: str
    reliability: float
    generalisation: float
    locality: float


def main(arguments: list[str]) -> None:
    """Train, ask, compare, and write the results."""
    parser = argparse.ArgumentParser("python -m benchmarks editors", description=__doc__)
    parser.add_argument("--models", type=Path, help="folder with tiny_facts_gpt2 or another such model")
    parser.add_argument("--model", default="tiny_facts_gpt2")
    parser.add_argument("--out", type=Path, default=Path("runs/editors"))
    parser.add_argument("--results", type=Path, default=RESULTS / "editors.json")
    parser.add_argument("--parts", default="trained,table,many")
    parser.add_argument("--data", type=Path, help="folder with counterfact, zsre and knowedit")
    parser.add_argument("--facts", type=int, default=30, help="facts of each benchmark")
    parser.add_argument("--shapes", type=shapes_of, default=list(SHAPES), help="of the models that know the register")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    parts = set(chosen.parts.split(","))
    if "register" in parts:
        run(chosen.shapes, chosen.out / "register", chosen.page, chosen.results.parent)
    if of_models := parts - {"register"}:
        if chosen.models is None:
            parser.error("these parts need --models")
        _of_models(chosen, of_models)


def _of_models(chosen: argparse.Namespace, parts: set[str]) -> None:
    lm, facts = load(chosen.models / chosen.model), read_facts(chosen.models / chosen.model / "facts.json")
    place = chosen.out / chosen.model
    found = {name: _editor(lm, name, facts, place / name) for name in EDITORS}
    if "trained" in parts:
        _trained(lm, facts, found, chosen)
    runs = Runs(lm, place, chosen.models / "easyedit" / "stats" / "corpus.json", apart(facts, HELD, 0)[1])
    if "table" in parts:
        runs.table(chosen.data, chosen.facts)
    if "many" in parts:
        runs.many(facts)
    write_page(place, chosen.model, chosen.page, chosen.results.parent)


def _trained(lm: LM, facts: Sequence[Fact], found: dict[str, dict[str, Any]], chosen: argparse.Namespace) -> None:
    curves = kept(chosen.out / chosen.model / "finetuning.json", lambda: _curves(lm, apart(facts, HELD, 0)[1]))
    report = {"circumstances": circumstances(), "model": chosen.model, "held_out": HELD, "finetuning": curves}
    for name, told in found.items():
        report[name] = told | {"finetuning_at_equal_locality": _at(curves, told["locality"])}
        print(name, json.dumps(report[name]), flush=True)
    chosen.results.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(chosen.results)


def _editor(lm: LM, name: str, facts: Sequence[Fact], folder: Path) -> dict[str, Any]:
    def train() -> dict[str, Any]:
        began, wall = process_time(), perf_counter()
        score = train_editor(
            lm, make_method(name, EDITORS[name]), facts, folder, holdout=HELD, say=lambda s: print(name, s, flush=True)
        )
        assert score is not None
        spent = {"cpu_minutes": (process_time() - began) / 60, "wall_minutes": (perf_counter() - wall) / 60}
        return {"options": EDITORS[name]} | asdict(score) | spent

    found: dict[str, Any] = kept(folder.with_suffix(".json"), train)
    return found


@dataclass(frozen=True)
class _Step:
    """A fact after some steps of fine-tuning."""

    loss: float
    held: Held


def _curves(lm: LM, facts: Sequence[Fact]) -> dict[str, list[dict[str, Any]]]:
    """For each rate and rule the points that fine-tuning passes."""
    names = [f"{path}.weight" for path in mlp_maps(lm, 3)]
    found: dict[str, list[dict[str, Any]]] = {}
    for lr in RATES:
        paths = [list(_path(lm, fact, names, lr)) for fact in facts]
        ends = [(f"{n} steps", [p[min(n, len(p) - 1)] for p in paths]) for n in AFTER]
        found[f"lr {lr:g}, number of steps"] = [asdict(_point(*end)) for end in ends]
        low = [(f"loss below {e:g}", [next((s for s in p if s.loss < e), p[-1]) for p in paths]) for e in ENOUGH]
        found[f"lr {lr:g}, loss low enough"] = [asdict(_point(*end)) for end in low]
        print(f"finetuning at lr {lr:g}: {sum(map(len, paths))} steps", flush=True)
    return found


def _path(lm: LM, fact: Fact, names: Sequence[str], lr: float) -> Iterator[_Step]:
    asked = row(lm, question(fact), fact.target_new)
    for loss, edit in finetuned(lm, asked, names, lr=lr, steps=STEPS, enough=min(ENOUGH)):
        yield _Step(loss, held(lm, [fact], _always(edit)))


def _always(edit: Edit) -> Any:
    return lambda _fact: edit


def _point(setting: str, steps: Sequence[_Step]) -> Point:
    means = (fmean(getattr(s.held, n) for s in steps) for n in ("reliability", "generalisation", "locality"))
    return Point(setting, *means)


def _at(curves: dict[str, list[dict[str, Any]]], locality: float) -> dict[str, dict[str, float]]:
    """What fine-tuning reaches where it is as local, by each rate and rule that passes there, the best for it first."""
    found = {}
    for rule, points in curves.items():
        for a, b in pairwise(points):
            high, low = sorted((a, b), key=lambda p: -p["locality"])
            if low["locality"] <= locality <= high["locality"]:
                share = (high["locality"] - locality) / max(high["locality"] - low["locality"], 1e-9)
                found[rule] = {n: high[n] + share * (low[n] - high[n]) for n in ("reliability", "generalisation")}
    return dict(sorted(found.items(), key=lambda item: -item[1]["reliability"]))
