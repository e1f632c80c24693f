"""One author deleted from a model that was taught TOFU in shards, beside retraining, NPO and SimNPO on the same request.

A newborn Llama of 1.3 million parameters reads some public text. From there it is taught all of TOFU's 4,000 rows three
times: at once, at once without the last author, and by `unteach train` in shards and slices, from which `unteach delete`
then takes the author. Every part that is done is kept under --out, so a run that was stopped goes on where it was.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks.figures import RESULTS, circumstances
from benchmarks.page import placed
from unteach.assemble import make_method
from unteach.audit.audit import audit
from unteach.audit.suite import DEFAULT, Suite
from unteach.data import read
from unteach.edit.bake import bake
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.edit.store import load as load_edit
from unteach.edit.store import save as save_edit
from unteach.lm.fresh import Size, fresh
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.exact.shards.stage import Schooling
from unteach.report import read as read_report
from unteach.report import to_json
from unteach.report.atomic import folder, put
from unteach.report.drawing import COLOURS, head, panels, style, to_bytes
from unteach.schema import Record, Report, Request
from unteach.service import jobs

AUTHOR = 20  # rows about each of the 200 authors, in the order of the file
ASKED = 100
SIZE = Size(vocabulary=4096, hidden=128, layers=4, heads=4, inner=352, positions=512)
READING = Plan(
    tune="full", lr=2e-3, epochs=1, batch_size=16, accumulate=1, warmup_epochs=0.1, weight_decay=0.0, decay="cosine"
)
SCHOOL = replace(READING, epochs=20, batch_size=8, warmup_epochs=0.5)
FORGETTING = {"tune": "full", "lr": 5e-4, "epochs": 10, "batch_size": 16, "accumulate": 1, "weight_decay": 0}
METHODS = ("npo", "simnpo")
SHOWN = (
    ("forget", "probability"),
    ("forget", "rougel"),
    ("forget", "extractionstrength"),
    ("retain", "probability"),
    ("retain", "rougel"),
)


@dataclass(frozen=True)
class Layout:
    """How a store is parted, and how its shards are trained and put together."""

    shards: int
    slices: int
    epochs: int
    school: Schooling
    weight: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.shards} × {self.slices}"

    @property
    def folder(self) -> str:
        return f"store-{self.shards}x{self.slices}"


LAYOUTS = (
    Layout(1, 8, 4, Schooling(tune="full", lr=2e-3)),
    Layout(4, 4, 4, Schooling(tune="full", lr=2e-3)),
)


def main(arguments: list[str]) -> None:
    """Teach, delete, forget, audit, and write the page's part."""
    parser = argparse.ArgumentParser("python -m benchmarks deletion", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with tofu, tinystories and wikitext2")
    parser.add_argument("--out", type=Path, default=Path("runs/deletion"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    chosen = parser.parse_args(arguments)
    place = folder(chosen.out)
    with ProcessPoolExecutor(chosen.workers, mp_context=get_context("spawn")) as pool:
        _all(pool, [partial(_begin, chosen.data, place)])
        taught = [partial(_teach, place, which) for which in ("original", "retrained")]
        _all(pool, [*taught, *(partial(_deleted, place, layout) for layout in LAYOUTS)])
        _all(pool, [partial(_forget, place, name) for name in METHODS])
    report = _asked(chosen.data, place)
    costs = {name: json.loads((place / f"{name}.json").read_text()) for name in _costed()}
    _draw(report, chosen.page.parent / "figures")
    content = {"circumstances": circumstances(), "costs": costs, "rows": _values(report)}
    put(folder(RESULTS) / "deletion.json", json.dumps(content, indent=1).encode() + b"\n")
    text = "\n".join(section(report, costs))
    chosen.page.write_text(placed(chosen.page.read_text(encoding="utf-8"), text, "deletion"), encoding="utf-8")


def _costed() -> list[str]:
    return ["original", "retrained", *METHODS, *(layout.folder for layout in LAYOUTS)]


def _all(pool: ProcessPoolExecutor, tasks: Sequence[partial[None]]) -> None:
    for done in [pool.submit(_alone, task) for task in tasks]:
        done.result()


def _alone(task: partial[None]) -> None:
    torch.set_num_threads(1)
    task()


def general(data: Path) -> list[Record]:
    """Public text: stories, and paragraphs of an encyclopedia."""
    stories = next((data / "tinystories").glob("*.txt")).read_text(encoding="utf-8").split("<|endoftext|>")
    lines = next((data / "wikitext2").iterdir()).read_text(encoding="utf-8").split("\n")
    texts = [t.strip()[:600] for t in (*stories, *(line for line in lines if len(line) > 200))]
    return [Record(f"text-{n}", "", text) for n, text in enumerate(texts) if text]


def _begin(data: Path, place: Path) -> None:
    """The rows with their authors, and the model before it is taught them."""
    if (place / "base").exists():
        return
    rows = read(data / "tofu" / "full.json").records
    lines = [
        {"id": f"row-{n}", "prompt": r.prompt, "answer": r.answer, "subject": f"author-{n // AUTHOR}"}
        for n, r in enumerate(rows)
    ]
    put(place / "rows.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    texts = general(data)
    newborn = fresh([*(f"{r.prompt} {r.answer}" for r in rows), *(t.answer for t in texts)], SIZE, seed=0)
    bake(learn(newborn, texts, READING), newborn, place / "base")


def _rows(place: Path) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Those of the last author, and all others."""
    rows = read(place / "rows.jsonl").records
    return rows[-AUTHOR:], rows[:-AUTHOR]


def _noted(place: Path, name: str, **found: Any) -> None:
    put(place / f"{name}.json", json.dumps(found).encode())
    print(f"{place / name}: {found}", flush=True)


def _teach(place: Path, which: str) -> None:
    if (place / f"{which}.json").exists():
        return
    forget, others = _rows(place)
    rows = [*others, *(forget if which == "original" else ())]
    base, began = load(place / "base"), perf_counter()
    bake(learn(base, rows, SCHOOL), base, place / which)
    _noted(place, which, seconds=round(perf_counter() - began, 1), trained=round(SCHOOL.epochs * len(rows)))


def _deleted(place: Path, layout: Layout) -> None:
    """Train a store, keep what it serves, delete the author, and keep what it serves then."""
    store = place / layout.folder
    if (place / f"{layout.folder}.json").exists():
        return
    began = perf_counter()
    parts = jobs.Parts(layout.shards, layout.slices, epochs=layout.epochs, batch=8)
    jobs.train(str(place / "base"), str(place / "rows.jsonl"), store, parts, layout.school, weight=layout.weight)
    taught = perf_counter() - began
    _keep(store, place / f"{layout.folder}-before")
    began = perf_counter()
    said = jobs.delete(store, jobs.Asked(subject=_rows(place)[0][0].subject))
    said = [line for line in said if str(store) not in line]  # where it lies is nobody's business
    _keep(store, place / f"{layout.folder}-after")
    _noted(place, layout.folder, seconds=round(perf_counter() - began, 1), taught=round(taught, 1), said=said)


def _keep(store: Path, place: Path) -> None:
    save_edit(load_edit(store / "releases" / (store / "current").read_text().strip()), place)


def _forget(place: Path, name: str) -> None:
    if (place / f"{name}.json").exists():
        return
    forget, others = _rows(place)
    lm, began = load(place / "original"), perf_counter()
    save_edit(make_method(name, FORGETTING)(lm, Request(forget, others)), place / name)
    _noted(place, name, seconds=round(perf_counter() - began, 1), trained=round(2 * FORGETTING["epochs"] * len(forget)))


def _asked(data: Path, place: Path) -> Report:
    file = place / "report.json"
    if not file.is_file():
        torch.set_num_threads(1)
        about = read(data / "tofu" / "forget01_perturbed.json").records[-AUTHOR:]
        sets = {"forget": about} | {
            name: read(data / "tofu" / f"{part}_perturbed.json").records[:ASKED]
            for name, part in (("retain", "retain"), ("general", "world_facts"))
        }
        suite = Suite(DEFAULT.metrics, max_new=100)
        report = audit(_models(place), sets, roles={n: n for n in sets}, suite=suite, title="One author of TOFU",
                       progress=lambda name: print(f"asking {name}", flush=True))  # fmt: skip
        put(file, to_json(replace(report, examples=())).encode())
    return read_report(file)


def _models(place: Path) -> dict[str, Any]:
    lm = load(place / "original")
    models: dict[str, Any] = {"original": lm, "retrained": partial(_opened, place / "retrained")}
    models |= {name: partial(load_edit(place / name).on, lm) for name in METHODS}
    for layout in LAYOUTS:
        for when in ("before", "after"):
            models[f"{layout.name}, {when}"] = partial(_worn, place, f"{layout.folder}-{when}")
    return models


@contextmanager
def _opened(place: Path) -> Iterator[LM]:
    yield load(place)


@contextmanager
def _worn(place: Path, edit: str) -> Iterator[LM]:
    lm = load(place / "base")
    with load_edit(place / edit).on(lm):
        yield lm


def _values(report: Report) -> list[dict[str, Any]]:
    return [
        {"model": r.model, "set": r.set} | {k: v for k, v in asdict(r.score).items() if k != "per_record"}
        for r in report.scores
    ]


def section(report: Report, costs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The table, the figure, and what each way took."""
    found = {(r.model, r.set, r.score.name): r.score for r in report.scores}
    names = [f"{s}: {m}" for s, m in SHOWN]
    lines = [f"| model | class | {' | '.join(names)} | verdict |", "|---" * (len(names) + 3) + "|"]
    for model in report.models:
        cells = [_cell(found.get((model, s, m))) for s, m in SHOWN]
        word = report.verdicts[model].verdict if model in report.verdicts else "–"
        lines.append(f"| {model} | {_class(model)} | {' | '.join(cells)} | {word} |")
    lines += ["", "![What each model still knows of the author](figures/deletion.svg)", ""]
    for layout in LAYOUTS:
        cost = costs[layout.folder]
        lines.append(
            f"- {layout.name}: taught in {cost['taught']:.0f} s, author deleted in {cost['seconds']:.0f} s. {cost['said'][1].capitalize()}."
        )
    lines += [
        f"- {name}: {costs[name]['seconds']:.0f} s, {costs[name]['trained']} rows trained on."
        for name in ("original", "retrained", *METHODS)
    ]
    return lines


def _class(model: str) -> str:
    return (
        "–"
        if model in ("original",) or "before" in model
        else "exact"
        if model == "retrained" or "after" in model
        else "empirical"
    )


def _cell(score: Any) -> str:
    if score is None or score.value is None:
        return "–"
    return f"{score.value:.2f} [{score.low:.2f}, {score.high:.2f}]" if score.low is not None else f"{score.value:.2f}"


def _draw(report: Report, place: Path) -> None:
    """What is left of the author beside what is left of the others, one mark a model."""
    found = {(r.model, r.set): r.score for r in report.scores if r.score.name == "rougel"}
    names = list(report.models)[::-1]
    with style("deletion", {}):
        figure, (axes,) = panels(1, width=5.6, height=1.0 + 0.28 * len(names))
        for where, colour, marker in (("forget", "red", "D"), ("retain", "blue", "o")):
            scores = [found[name, where] for name in names]
            spread = [[s.value - s.low for s in scores], [s.high - s.value for s in scores]]
            axes.errorbar([s.value for s in scores], range(len(names)), xerr=spread, color=COLOURS[colour], marker=marker,
                          markersize=4, linestyle="", elinewidth=1, label={"forget": "the author", "retain": "other authors"}[where])  # fmt: skip
        axes.set_yticks(range(len(names)), names, fontsize=8.5)
        axes.set(xlim=(-0.02, 1.02))
        head(axes, "One author of TOFU: overlap of answers with the truth (ROUGE-L)")
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
        put(folder(place) / "deletion.svg", to_bytes(figure, "svg"))
