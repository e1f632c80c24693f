"""TOFU forget10 on small models: six methods, judged as they are and at equal retention.

`python -m benchmarks tofu-models` makes the two models first. Every part that is done is kept under --out, so a
run that was stopped goes on where it was.
"""

import argparse
import json
import platform
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

from unteach.audit.audit import Worn, audit
from unteach.audit.benchmarks.tofu import SUITE, Tofu
from unteach.audit.control import at_equal_retention, mix
from unteach.edit.edit import Edit
from unteach.edit.store import load as load_edit
from unteach.edit.store import save as save_edit
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.recipe import make_method
from unteach.report import save_figures, to_json, write
from unteach.schema import Report

METHODS = ("ga", "graddiff", "npo", "simnpo", "idk", "dpo")
PLAN = {"tune": "full", "lr": 1e-3, "epochs": 5, "batch_size": 16, "accumulate": 1, "weight_decay": 0}
SHOWN = (  # set, metric, heading
    ("forget", "probability", "forget P"),
    ("forget", "rougel", "forget ROUGE-L"),
    ("forget", "truthratio", "forget TR"),
    ("forget", "extractionstrength", "forget ES"),
    ("forget", "forgetquality", "forget quality p"),
    ("retain", "probability", "retain P"),
    ("retain", "rougel", "retain ROUGE-L"),
    ("retain", "modelutility", "model utility"),
)


def main(arguments: list[str]) -> None:
    """Train every method, ask all models, and write docs/benchmarks.md."""
    parser = argparse.ArgumentParser("python -m benchmarks tofu", description=__doc__)
    parser.add_argument("--data", required=True, help="folder with TOFU's JSON files, or locuslab/TOFU")
    parser.add_argument("--out", type=Path, default=Path("runs/tofu"))
    parser.add_argument("--rows", type=int, default=200, help="rows asked of each set")
    parser.add_argument("--only", choices=METHODS, help="train one method and stop")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    chosen = parser.parse_args(arguments)
    lm, task = load(chosen.out / "full"), Tofu(chosen.data, rows=chosen.rows)
    for name in (chosen.only,) if chosen.only else METHODS:
        _train(name, lm, task, chosen.out)
    if chosen.only:
        return
    edits = {name: load_edit(chosen.out / "edits" / name) for name in METHODS}
    report = _ask(lm, task, edits, chosen.out)
    equal = {name: _controlled(name, lm, edit, task, chosen.out) for name, edit in edits.items()}
    write(report, chosen.out / "report")
    _page(report, equal, chosen)


def _train(name: str, lm: LM, task: Tofu, out: Path) -> None:
    place = out / "edits" / name
    if (place / "edit.json").exists():
        return
    began = perf_counter()
    edit = make_method(name, PLAN)(lm, task.request())
    save_edit(edit, place)
    (place / "seconds.json").write_text(json.dumps(round(perf_counter() - began)))
    print(f"{name}: {perf_counter() - began:.0f} s", flush=True)


def _ask(lm: LM, task: Tofu, edits: dict[str, Edit], out: Path) -> Report:
    models: dict[str, Worn] = {"original": lm, "retrained": load(out / "retain90")}
    models |= {name: partial(edit.on, lm) for name, edit in edits.items()}
    axes = {"forget": ("forget", "rougel"), "utility": ("retain", "rougel")}
    report = audit(
        models, task.sets(), roles=task.roles, suite=replace(SUITE, max_new=100), axes=axes, title="TOFU forget10",
        progress=lambda name: print(f"asking {name}", flush=True),
    )  # fmt: skip
    sets = task.sets()
    return replace(
        report, mixing={n: mix(lm, e, sets["forget"], sets["retain"], measure="exact") for n, e in edits.items()}
    )


def _controlled(name: str, lm: LM, edit: Edit, task: Tofu, out: Path) -> dict[str, float]:
    kept = out / "edits" / name / "equal.json"
    if not kept.exists():
        sets = task.sets()
        found = at_equal_retention(lm, edit, sets["forget"][:100], sets["retain"][:100])
        kept.write_text(json.dumps(found))
    found = json.loads(kept.read_text())
    return {k: float(v) for k, v in found.items()}


def _page(report: Report, equal: dict[str, dict[str, float]], chosen: argparse.Namespace) -> None:
    place = chosen.page.parent / "figures"
    figures = save_figures(report, place)
    results = Path("benchmarks/results")
    results.mkdir(parents=True, exist_ok=True)
    (results / "tofu.json").write_text(to_json(replace(report, examples=())), encoding="utf-8")
    (results / "tofu-equal-retention.json").write_text(json.dumps(equal, indent=1), encoding="utf-8")
    seconds = {n: json.loads((chosen.out / "edits" / n / "seconds.json").read_text()) for n in METHODS}
    lines = [*_head(chosen), *_table(report, seconds), *_equal_table(equal)]
    for name, path in figures.items():
        lines += ["", f"![{name}]({path.relative_to(chosen.page.parent)})"]
    chosen.page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(chosen.page)


def _head(chosen: argparse.Namespace) -> list[str]:
    plan = ", ".join(f"{k} {v}" for k, v in PLAN.items())
    return [
        "# Benchmarks", "", "Made by", "", "```text",
        "python -m benchmarks tofu-models --data TOFU --out runs/tofu",
        "python -m benchmarks tofu --data TOFU --out runs/tofu", "```", "",
        "where `TOFU` is the data set's folder or its hub id. The models are Llama-shaped with 2.6 million parameters",
        "(4 layers, hidden 192, vocabulary 4096), one trained for 20 epochs on all 4,000 rows of TOFU, the other",
        f"(`retrained`) without forget10. Each method forgets forget10 with retain90 beside it: {plan}; everything",
        f"else as `unteach show` gives it. The first {chosen.rows} rows of each set were asked; one seed; intervals are in",
        f"`benchmarks/results/tofu.json`. Machine: {platform.machine()}, 2 cores, float32, other work running beside.",
        "What models of this size do is no evidence about useful ones.", "",
        "The retrained model is the reference: a forget score is good where it is near that model's, not where it is low.",
        "Model utility is next to nothing for all of them, since it is a harmonic mean over nine terms and models trained on",
        "TOFU alone know nothing of real authors and the world.",
        "", "## As trained", "",
    ]  # fmt: skip


def _table(report: Report, seconds: dict[str, int]) -> list[str]:
    scores = {(r.model, r.set, r.score.name): r.score for r in report.scores}
    rows = ["| model | " + " | ".join(h for *_, h in SHOWN) + " | verdict | training s |"]
    rows.append("|---" * (len(SHOWN) + 3) + "|")
    for model in ("original", "retrained", *METHODS):
        cells = []
        for where, metric, _ in SHOWN:
            found = scores.get((model, where, metric))
            value = None if found is None else found.value
            cells.append("–" if value is None else f"{value:.3g}" if metric == "forgetquality" else f"{value:.3f}")
        word = report.verdicts[model].verdict if model in report.verdicts else "–"
        rows.append(f"| {model} | " + " | ".join(cells) + f" | {word} | {seconds.get(model, '–')} |")
    return rows


def _equal_table(equal: dict[str, dict[str, float]]) -> list[str]:
    rows = [
        "", "## At equal retention", "",
        "Each edit is put on in part (mixing weights with the original) as far as extraction strength on 100 retain rows",
        "stays at or above 0.95 of the original's; compared is what is left on 100 forget rows there. alpha 0: no usable",
        "part.", "", "| method | alpha | forget ES | retain ES |", "|---|---|---|---|",
    ]  # fmt: skip
    order = sorted(equal, key=lambda n: equal[n]["forget"])
    return rows + [
        f"| {n} | {equal[n]['alpha']:.2f} | {equal[n]['forget']:.3f} | {equal[n]['retain']:.3f} |" for n in order
    ]
