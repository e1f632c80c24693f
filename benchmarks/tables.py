"""The tables of `python -m benchmarks objectives`, from the reports of its seeds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from unteach.registry import find
from unteach.report import read
from unteach.schema import Report

REFERENCES = ("original", "retrained")
OPENING = """\
Made by

```text
python -m benchmarks objectives --data TOFU
```

where `TOFU` is the data set's folder. For each of three seeds two models are taught from the same newborn of about a
million parameters: `original` on all rows, `retrained` without those to forget. The town's models know all of the
town; TOFU's know forget10, the first 400 rows of retain90, and the facts about real authors and the world (100 rows of
retain90 are never shown to them: the holdout). Every objective forgets with its published options and retain term, with
full fine-tuning (`rmu`: down-projections; `sure`: one neuron in a hundred), by one plan for all of a world: the town 20
epochs at 2e-3, TOFU 3 epochs at 1e-3. Then each edit is put on only as far (alpha) as extraction strength on the rows to
keep stays at or above 0.95 of the original's; everything below is asked there. alpha 0: no usable part of the edit.

Cells are means over three seeds ± standard deviation. Methods are sorted by how near the probability of the forgotten
answers comes to that of the retrained model. ◎: best is the retrained model's value. ↑ higher, ↓ lower, →0 nearest to 0 is
better. One learning rate for all is fair to none; models of this size are no evidence about useful ones.
"""
ORDER = ("forget", "probability")  # by what the methods of a table are sorted: the distance to the retrained model
TITLES = {"town": "The town", "tofu": "TOFU forget10"}


@dataclass(frozen=True)
class Seeds:
    """What was measured on one world: a report and each edit's record for every seed."""

    world: str
    reports: Mapping[int, Report]
    edits: Mapping[str, Sequence[Mapping[str, float]]]

    def values(self, model: str, where: str, metric: str) -> list[float]:
        found = [r.score.value for report in self.reports.values() for r in report.scores
                 if (r.model, r.set, r.score.name) == (model, where, metric)]  # fmt: skip
        return [v for v in found if v is not None]


def gathered(out: Path, world: str) -> Seeds:
    """Everything under OUT/WORLD/SEED."""
    places = sorted(p for p in (out / world).iterdir() if (p / "report.json").is_file())
    names = sorted({e.parent.name for p in places for e in p.glob("edits/*/equal.json")})
    edits = {n: [json.loads((p / "edits" / n / "equal.json").read_text()) for p in places] for n in names}
    return Seeds(world, {int(p.name): read(p / "report.json") for p in places}, edits)


def raw(found: Seeds) -> dict[str, Any]:
    """Every value of every seed, without those of single rows."""
    values: dict[str, Any] = {}
    for seed, report in found.reports.items():
        for row in report.scores:
            place = values.setdefault(row.set, {}).setdefault(row.score.name, {}).setdefault(row.model, {})
            place[str(seed)] = {
                "value": row.score.value,
                "low": row.score.low,
                "high": row.score.high,
                "n": row.score.n,
            }
    verdicts = {str(s): {m: v.verdict for m, v in r.verdicts.items()} for s, r in found.reports.items()}
    return {"world": found.world, "edits": found.edits, "verdicts": verdicts, "scores": values}


def section(found: Seeds) -> list[str]:
    """The world's part of the page."""
    first = next(iter(found.reports.values()))
    columns = list(dict.fromkeys((r.set, r.score.name) for r in first.scores))
    sets = list(dict.fromkeys(where for where, _ in columns))
    lines = [
        f"### {TITLES[found.world]}",
        "",
        f"![{found.world}](figures/objectives-{found.world}.svg)",
        "",
        *_edits(found),
        "",
    ]
    for where in sets:
        metrics = [m for s, m in columns if s == where]
        lines += [f"#### Asked of `{where}` ({first.sets[where]['n']} rows)", "", *_table(found, where, metrics), ""]
    return lines


def _edits(found: Seeds) -> Iterator[str]:
    yield "| method | alpha | as trained: forget ES | retain ES | at alpha: forget ES | retain ES | verdicts at alpha | training s |"
    yield "|---" * 8 + "|"
    for name in ranked(found):
        part = found.edits[name]
        words = [r.verdicts[name].verdict for r in found.reports.values() if name in r.verdicts]
        counted = ", ".join(f"{words.count(w)} {w}" for w in dict.fromkeys(words))
        keys = ("alpha", "trained_forget", "trained_retain", "forget", "retain")
        cells = [said([p[k] for p in part]) for k in keys]
        yield f"| {name} | " + " | ".join(cells) + f" | {counted} | {mean(p['seconds'] for p in part):.0f} |"


def _table(found: Seeds, where: str, metrics: Sequence[str]) -> Iterator[str]:
    kept = [m for m in metrics if any(found.values(n, where, m) for n in found.edits)]
    yield "| model | " + " | ".join(f"{m} {_way(m, found, where)}" for m in kept) + " |"
    yield "|---" * (len(kept) + 1) + "|"
    for model in (*REFERENCES, *ranked(found)):
        yield f"| {model} | " + " | ".join(said(found.values(model, where, m)) for m in kept) + " |"


def _way(metric: str, found: Seeds, where: str) -> str:
    role = next(iter(found.reports.values())).sets[where]["role"]
    return {"up": "↑", "down": "↓", "target": "◎", "zero": "→0"}[find("metric", metric).directions.get(role, "target")]


def ranked(found: Seeds) -> list[str]:
    """The methods, those first whose forgotten answers are as probable as the retrained models find them."""
    goal = mean(found.values("retrained", *ORDER))
    return sorted(found.edits, key=lambda n: abs(mean(found.values(n, *ORDER)) - goal))


def said(values: Sequence[float]) -> str:
    """Mean and standard deviation over the seeds."""
    if not values:
        return "–"
    spread = f" ± {stdev(values):.2g}" if len(values) > 1 else ""
    return f"{mean(values):.3g}{spread}"
