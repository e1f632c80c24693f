"""The tables of `python -m benchmarks methods`, from the parts that it kept."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.methods_drawn import Line, draw
from benchmarks.page import placed
from benchmarks.tables import TITLES, said
from unteach.audit.verdict import verdict
from unteach.report import read
from unteach.report.atomic import folder, put
from unteach.schema import Finding, Report, Verdict

RESULTS = Path(__file__).parent / "results"
ORIGINAL, RETRAINED = REFERENCES = ("original", "retrained")
WORDS = ("forgotten", "inconclusive", "over-forgotten", "not forgotten", "broken")
SCORES = (
    ("forget", "probability"), ("forget", "rougel"), ("retain", "probability"), ("retain", "rougel"),
    ("retain", "perplexity"), ("retain", "distinctn"),
)  # fmt: skip
TOLD = (
    ("relearn", "before"), ("relearn", "value"), ("relearn", "excess"), ("quantise", "value"), ("quantise", "excess"),
)  # fmt: skip
COLUMNS = (
    "method", "forget probability", "ROUGE-L", "retain probability", "ROUGE-L", "perplexity", "distinct", "told",
    "relearnt", "recovered", "rounded", "recovered", "s", "MB", "verdict",
)  # fmt: skip
OPENING = """\
Made by

```text
python -m benchmarks methods --data TOFU
```

on the models of the objectives above. Every method that changes weights and needs nothing but rows (to forget, to keep,
never seen) has its published options and, where it trains, the plan that the objectives have: the town 20 epochs at 2e-3,
TOFU 3 epochs at 1e-3, with full fine-tuning or what an objective was published with (`jang` in the town: 40 epochs at
5e-4). Those made for training from kept rows anew (`cfk`, `euk`, `prunefinetune`, `resetweights`) have no more epochs.
Objectives run by `finetune`; their edits are those above, but whole, not at equal retention.

*told* is the share of an answer's telling words in the free answers to four fifths of the forgotten questions, *relearnt*
the same when the other fifth was trained on (LoRA, 3 passes, the better of 1e-3 and 3e-3). *rounded* is what all of them
tell when the weights are rounded (the best of int8, int4 and NF4). *recovered* is the share of what was lost that came
back, less what the same brings out of the retrained model: 0 is best, – where nothing was lost. s: processor seconds of
the forgetting on one thread; MB: the most memory beyond the loaded model's, of one epoch for edits from above. Perplexity
and distinct n-grams are those of kept answers. Methods stand by verdict, then by how near both probabilities are to the
retrained model's. Every method that is not *forgotten* has its reason in the second table.
"""
ELSEWHERE = {
    "facts": "correct facts, and are compared below",
    "labels": "take a concept that labels tell from hidden states",
    "no weight": "change no weight",
}


@dataclass(frozen=True)
class Asked:
    """What was measured on one world: by method and seed, what making it took and what it was asked."""

    world: str
    made: Mapping[str, Mapping[int, Mapping[str, Any]]]
    reports: Mapping[str, Mapping[int, Report]]

    def values(self, model: str, where: str, metric: str) -> list[float]:
        found = [r.score.value for report in self.reports[model].values() for r in report.scores
                 if (r.set, r.score.name) == (where, metric)]  # fmt: skip
        return [v for v in found if v is not None]

    def told(self, model: str, attack: str, what: str) -> list[float]:
        """One of the numbers of an attack; `excess` is what it recovers beyond the same from the retrained model."""
        seeds = self.reports[model]
        if what != "excess":
            found = [self._number(model, s, attack, what) for s in seeds]
        else:
            pairs = [[self._number(m, s, attack, "recovered") for m in (model, RETRAINED)] for s in seeds]
            found = [mine - theirs if mine is not None and theirs is not None else None for mine, theirs in pairs]
        return [v for v in found if v is not None] if (model, what) != (RETRAINED, "excess") else []

    def _number(self, model: str, seed: int, attack: str, what: str) -> float | None:
        finding = next((f for f in self.reports[model][seed].attacks if f.attack == attack), None)
        value: float | None = getattr(finding, what, None)
        return value

    @cached_property
    def verdicts(self) -> dict[str, dict[int, Verdict]]:
        names = [n for n in self.reports if n not in REFERENCES]
        return {n: {s: self._verdict(n, s) for s in self.reports[n]} for n in names}

    def _verdict(self, name: str, seed: int) -> Verdict:
        """As if the three models had been asked together."""
        asked = {m: self.reports[m][seed] for m in (*REFERENCES, name)}
        rows = [replace(row, model=m) for m, report in asked.items() for row in report.scores]
        return verdict(rows, name, roles={s: about["role"] for s, about in asked[name].sets.items()})

    @property
    def refused(self) -> dict[str, str]:
        """Why there is no edit."""
        return {n: m["failed"] for n, of in sorted(self.made.items()) for m in [*of.values()][:1] if "failed" in m}


def gathered(out: Path, world: str) -> Asked:
    """Everything under OUT/WORLD/SEED/METHOD of the seeds whose references are there."""
    places = [p for p in sorted((out / world).glob("*/*")) if p.is_dir()]
    made: dict[str, dict[int, Any]] = {}
    reports: dict[str, dict[int, Report]] = {}
    for place in places:
        seed = int(place.parent.name)
        if (place / "made.json").is_file():
            made.setdefault(place.name, {})[seed] = json.loads((place / "made.json").read_text(encoding="utf-8"))
        if (place / "asked.json").is_file():
            reports.setdefault(place.name, {})[seed] = read(place / "asked.json")
    return Asked(world, made, reports)


def write(page: Path, out: Path, worlds: Sequence[str], elsewhere: Mapping[str, Sequence[str]]) -> None:
    """Bring the part of the page between the marks up to date; figures and values go beside it."""
    text = [OPENING, *(f"Not here: {', '.join(names)} {ELSEWHERE[why]}." for why, names in elsewhere.items())]
    for world in worlds:
        found = gathered(out, world)
        draw(world, lines(found), page.parent / "figures")
        text += ["", *section(found)]
        put(folder(RESULTS) / f"methods-{world}.json", json.dumps(raw(found), indent=1).encode() + b"\n")
    page.write_text(placed(page.read_text(encoding="utf-8"), "\n".join(text), "methods"), encoding="utf-8")
    print(page)


def ranked(found: Asked) -> list[str]:
    """The methods by verdict, then by how near both probabilities come to the retrained model's."""
    sets = ("forget", "retain")
    goal = {s: mean(found.values(RETRAINED, s, "probability")) for s in sets}

    def far(name: str) -> float:
        return sum(abs(mean(found.values(name, s, "probability") or [1 - goal[s]]) - goal[s]) for s in sets)

    def word(name: str) -> int:
        return min(WORDS.index(v.verdict) for v in found.verdicts[name].values())

    return sorted(found.verdicts, key=lambda n: (word(n), far(n), n))


def section(found: Asked) -> Iterator[str]:
    """The world's part of the page."""
    yield from (
        f"### All methods: {TITLES[found.world]}",
        "",
        f"![{found.world}](figures/methods-{found.world}.svg)",
        "",
    )
    seeds = [str(s) for s in found.reports[RETRAINED]]
    yield from (f"Seeds: {', '.join(seeds)}.", "", f"| {' | '.join(COLUMNS)} |")
    yield "|---" * len(COLUMNS) + "|"
    for name in (*REFERENCES, *ranked(found)):
        cells = [said(found.values(name, *of)) for of in SCORES] + [said(found.told(name, *of)) for of in TOLD]
        yield f"| {name} | {' | '.join(cells)} | {_spent(found, name)} | {_words(found, name)} |"
    yield from ("", "| method | what came of it | why |", "|---|---|---|")
    for name, why in found.refused.items():
        yield f"| {name} | no edit | {why} |"
    for name in ranked(found):
        first = next(iter(found.verdicts[name].values()))
        if first.verdict != "forgotten":
            yield f"| {name} | {first.verdict} | {brief(first.reason)} |"


def brief(reason: str) -> str:
    """A verdict's reason whose lists give their first name and count the others."""
    return "; ".join(_first(part) for part in reason.rstrip(".").split("; "))


def _first(part: str) -> str:
    what, colon, names = part.partition(": ")
    first, *others = names.split(", ")
    return f"{what}{colon}{first}" + (f" and {len(others)} more" if others else "")


def _spent(found: Asked, name: str) -> str:
    made = [m for m in found.made.get(name, {}).values() if "failed" not in m]
    if not made:
        return "– | –"
    return f"{mean(m['seconds'] for m in made):.0f} | {mean(m['bytes'] for m in made) / 2**20:.0f}"


def _words(found: Asked, name: str) -> str:
    words = [v.verdict for v in found.verdicts.get(name, {}).values()]
    return ", ".join(w if len(words) == 1 else f"{words.count(w)} {w}" for w in dict.fromkeys(words)) or "–"


def lines(found: Asked) -> list[Line]:
    """What is drawn of each model, the references first."""
    return [
        Line(name, *(_mean(v) for v in (
            found.told(name, "relearn", "before"), found.told(name, "relearn", "value"),
            found.told(name, "quantise", "value"), found.values(name, "retain", "rougel"))))
        for name in (RETRAINED, *ranked(found))
    ]  # fmt: skip


def _mean(values: Sequence[float]) -> float | None:
    return mean(values) if values else None


def raw(found: Asked) -> dict[str, Any]:
    """Every value of every seed, without those of single rows."""
    names = (*REFERENCES, *ranked(found))
    return {
        "world": found.world,
        "refused": found.refused,
        "made": {
            n: {s: {k: v for k, v in m.items() if k != "edit"} for s, m in of.items()} for n, of in found.made.items()
        },
        "scores": {n: {s: _scores(r) for s, r in found.reports[n].items()} for n in names},
        "attacks": {n: {s: [_told(f) for f in r.attacks] for s, r in found.reports[n].items()} for n in names},
        "verdicts": {n: {s: [v.verdict, v.reason] for s, v in of.items()} for n, of in found.verdicts.items()},
    }


def _scores(report: Report) -> dict[str, dict[str, float | None]]:
    scores: dict[str, dict[str, float | None]] = {}
    for row in report.scores:
        scores.setdefault(row.set, {})[row.score.name] = row.score.value
    return scores


def _told(finding: Finding) -> dict[str, Any]:
    return {k: getattr(finding, k) for k in ("attack", "before", "value", "low", "high", "recovered", "n", "curve")}
