"""What corrections came to, on the page: a table for each benchmark, and a hundred facts as a figure and a table."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.corrections import BENCHMARKS, COLUMNS, METHODS, NONE, Mean, means
from benchmarks.figures import circumstances
from benchmarks.page import placed
from unteach.report.atomic import folder, put
from unteach.report.drawing import COLOURS, DASHES, MARKERS, head, logarithmic, panels, standing, style

OPENING = """\
Made by

```text
python -m benchmarks editors --models MODELS --data DATA
```

on `{model}`, a model of 1.7 million parameters that knows 1,500 invented facts of 300 people. `MODELS` holds it, `DATA`
the files of CounterFact, zsRE and KnowEdit. Each fact is corrected alone, on the model as it was, by every method with
its default settings (a method of one layer writes into the first, where this model's facts lie). A method is given the
fact alone and nothing that is asked afterwards. `mend` and `ke` have practised on invented facts of other people.

Means over facts with 95 % bootstrap intervals. *Reliability* (rewrite accuracy), *generalisation* (rephrase accuracy) and
*portability* are shares of the answer's tokens that are the likeliest, *locality* that of tokens beside the fact whose
likeliest one is as before; *written* is the share of facts whose free answer begins with the new one. ES, PS, NS and S are
ROME's, *fluency* is the n-gram entropy of 24 free tokens. †: what stands behind a guard shows no tokens; there
locality is the share of free answers that begin in the same five words.

This model does not know the facts of CounterFact, zsRE and KnowEdit, and hardly their words: there the tables show whether a
method writes what it is told and leaves other outputs alone, not how it does on a model that knows them. A model of this
size is no evidence about useful ones.
"""
MANY = """\
### A hundred facts

![Reliability, locality, perplexity and the way of the weights by the number of facts](figures/hundred-edits.svg)

One fact of each of a hundred people, by one edit (left) or by one edit after another, each made on the model that wears
those before it (right). Reliability is that of all facts so far; locality that of questions beside all hundred;
perplexity that of 200 texts of the kind the model was taught on, which were not used for second moments; *moved* is the
change of the weights that a method writes into, as a share of their norm. `grace` and `wise` change no weight. `alphaedit` one
after another keeps the keys of facts before (`batch=1`); `ftl` has its bound anew at each edit.
"""
STROKES = {
    name: (colour, DASHES[n % len(DASHES)], (*MARKERS, "o", "s")[n])
    for n, (name, colour) in enumerate(
        zip(("memit", "emmet", "alphaedit", "rome", "ftl", "grace", "wise"),
            ("blue", "red", "purple", "brown", "green", "grey", "grey"), strict=True)
    )
}  # fmt: skip
PANELS = (("reliability", "reliability"), ("locality", "locality"), ("perplexity", "perplexity"), ("moved", "moved"))


PRACTISED = """
### Trained editors

`mend` and `ke` practised on the other facts of this model, and correct {held} facts of people whom no lesson mentions, each alone.
*Fine-tuning there* is what fine-tuning the same weights reaches at the same mean locality, at the better of two rates and by the
better of two rules for when to stop. Minutes of one core.
"""


def write_page(place: Path, model: str, page: Path, results: Path) -> None:
    """Bring the part of the page between the marks up to date; the figure and the values go beside it."""
    tables, courses = dict(_tables(place / "table")), _courses(place / "many")
    text = [OPENING.format(model=model), *(line for name, found in tables.items() for line in _section(name, found))]
    if courses:
        put(folder(page.parent / "figures") / "hundred-edits.svg", _drawn(courses))
        text += [MANY, *_many(courses)]
    if (trained := results / "editors.json").is_file():
        text += practised(json.loads(trained.read_text(encoding="utf-8")))
    page.write_text(placed(page.read_text(encoding="utf-8"), "\n".join(text), "editors"), encoding="utf-8")
    report = {"circumstances": circumstances(), "model": model, "table": tables, "many": courses}
    put(folder(results) / "corrections.json", (json.dumps(report, indent=1, default=asdict) + "\n").encode())
    print(page)


def practised(told: Mapping[str, Any]) -> list[str]:
    """The trained editors on facts that they never practised, beside fine-tuning where that keeps as much."""
    head = ["editor", "reliability", "generalisation", "locality", "minutes", "fine-tuning there", "its generalisation"]
    rows = [PRACTISED.format(held=told["held_out"]), "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in ("mend", "ke"):
        mine = told[name]
        beside = mine["finetuning_at_equal_locality"].values()
        best = [max(one[what] for one in beside) for what in ("reliability", "generalisation")]
        cells = [*(mine[k] for k in ("reliability", "generalisation", "locality")), mine["cpu_minutes"], *best]
        rows.append(f"| {name} | " + " | ".join(f"{c:.3g}" for c in cells) + " |")
    return rows


def _tables(place: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of each benchmark and method the means over the parts that all methods have."""
    for benchmark in (place / name.replace(" ", "-") for name in BENCHMARKS):
        firsts = [
            n for n in range(0, 1000, 10) if all((benchmark / f"{m}-{n}.json").exists() for m in (NONE, *METHODS))
        ]
        found = {}
        for name in (NONE, *METHODS) if firsts else ():
            parts = [json.loads((benchmark / f"{name}-{n}.json").read_text(encoding="utf-8")) for n in firsts]
            rows, failed, seconds = ([x for p in parts for x in p[key]] for key in ("rows", "failed", "seconds"))
            took = median(seconds) if seconds else None
            found[name] = {"means": means(rows), "n": len(rows) + len(failed), "failed": failed, "seconds": took}
        if found:
            yield benchmark.name.replace("-", " "), found


def _section(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    columns = [c for c in (*COLUMNS, "S") if any(c in told["means"] for told in found.values())]
    yield f"### {name.capitalize() if ' ' in name else name}\n"
    yield f"{found[NONE]['n']} facts.\n"
    yield f"| method | {' | '.join(columns)} | s an edit |"
    yield "|---" * (len(columns) + 2) + "|"
    for method, told in found.items():
        cells = [_cell(told["means"].get(c), told, c) for c in columns]
        took = "–" if told["seconds"] is None else f"{told['seconds']:.2f}"
        yield f"| {method} | {' | '.join(cells)} | {took} |"
    yield ""
    reasons: dict[tuple[str, int, int], list[str]] = {}
    for method, told in found.items():
        for why, count in Counter(told["failed"]).items():
            reasons.setdefault((why, count, told["n"]), []).append(f"`{method}`")
    for (why, count, n), methods in reasons.items():
        yield f"Failed on {count} of {n}: {', '.join(methods)}: {why}.\n"


def _cell(mean: Mean | None, told: Mapping[str, Any], column: str) -> str:
    if mean is None:
        return "–"
    hidden = "†" if column == "locality" and "reliability" not in told["means"] else ""
    fewer = f", n {mean.n}" if mean.n < told["n"] else ""
    between = "" if mean.low is None or mean.high is None else f" ({mean.low:.2f} to {mean.high:.2f}{fewer})"
    return f"{mean.value:.2f}{hidden}{between}"


def _courses(place: Path) -> dict[str, dict[str, Any]]:
    """Way and method to the points of its course."""
    found: dict[str, dict[str, Any]] = {"at once": {}, "in sequence": {}}
    for name in STROKES:
        for way, courses in found.items():
            path = place / f"{name}-{way.replace(' ', '-')}.json"
            if path.exists():
                courses[name] = json.loads(path.read_text(encoding="utf-8"))
    return found if any(found.values()) else {}


def _drawn(courses: Mapping[str, Mapping[str, Any]]) -> bytes:
    with style("hundred-edits", {}):
        figure, axes = panels(8, width=7.2, height=8.2, across=2)
        drawn = {}
        for n, (key, said) in enumerate(PANELS):
            for place, (way, found) in zip(axes[2 * n : 2 * n + 2], courses.items(), strict=True):
                for name, told in found.items():
                    drawn[name] = _line(place, name, told["points"], key)
                head(place, f"{said}, {way}")
                logarithmic(place)
                if key in ("reliability", "locality"):
                    place.set_ylim(-0.03, 1.03)
            low, high = (f(place.get_ylim()[i] for place in axes[2 * n : 2 * n + 2]) for i, f in ((0, min), (1, max)))
            for place in axes[2 * n : 2 * n + 2]:
                place.set_ylim(low, high)
        for place in axes[-2:]:
            place.set_xlabel("facts")
        figure.legend(drawn.values(), drawn, loc="outside lower center", ncols=len(drawn), frameon=False, fontsize=8.5)
        return standing(figure)


def _line(axes: Any, name: str, points: Sequence[Mapping[str, Any]], key: str) -> Any:
    colour, dash, marker = STROKES[name]
    values = [p[key] if key in ("perplexity", "moved") else p[key][0] for p in points]
    (line,) = axes.plot(
        [p["edits"] for p in points], values, color=COLOURS[colour], linestyle=dash, marker=marker, markersize=4.5
    )
    return line


def _many(courses: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| method | way | facts | reliability | locality | perplexity | moved |"
    yield "|---" * 7 + "|"
    ends = []
    for way, found in courses.items():
        for name, told in found.items():
            ends += [f"`{name}` {way} ended: {told['ended']}."] if told["ended"] else []
            for p in told["points"][-1:]:
                cells = ["{:.2f} ({:.2f} to {:.2f})".format(*p[key]) for key in ("reliability", "locality")]
                yield f"| {name} | {way} | {p['edits']} | {' | '.join(cells)} | {p['perplexity']:.2f} | {p['moved']:.2f} |"
    yield "\n".join(["", *ends])
