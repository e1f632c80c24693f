"""Scores over seeds as Markdown, CSV and LaTeX."""

import csv
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from pathlib import Path

from unteach.report.atomic import folder, put
from unteach.report.glossary import term
from unteach.report.spread import Finding, Seeds, Spread
from unteach.report.text import ARROWS, escape, plain, tex, tex_number
from unteach.report.words import ROLES, WAYS, number

FIELDS = (
    "model", "role", "set", "metric", "direction", "mean", "deviation", "n", "runs", "difference", "low", "high",
    "p", "margin", "finding", "note",
)  # fmt: skip
FINDINGS: Mapping[Finding, str] = {
    "equivalent": "the mean is shown to lie within the margin of the retrained models' mean.",
    "different": "it is shown to lie beyond the margin.",
    "not decided": "neither was shown. That is no sign of equivalence: more seeds may show either.",
}
NOISE = (
    "Two models that were retrained with different seeds differ as well. Their standard deviation, in the line "
    "*over seeds*, is the noise floor: differences of that size say nothing about a method."
)
TEST = (
    "Equivalence was tested by two one-sided Welch tests at α = 0.05, each line by itself; in brackets stands the 90 % "
    "interval of the difference. The margin is the choice of whoever made this table, and means something only where "
    "it was chosen before the numbers were seen."
)


def seeds_markdown(found: Seeds) -> str:
    """The whole table in words and numbers, as GitHub-flavoured Markdown."""
    return "\n".join(_markdown(found)).rstrip() + "\n"


def seeds_csv(found: Seeds) -> str:
    """One line a model, set and metric. `low` and `high` bound the 90 % interval of the difference to retrained."""
    held = StringIO()
    writer = csv.writer(held, lineterminator="\r\n")
    writer.writerow(FIELDS)
    for _, _, block, reference in found.blocks():
        for s in block:
            test = s.test
            tested = (test.low, test.high, test.p, test.margin, test.finding) if test else (None,) * 5
            names = map(plain, (s.model.name, s.model.role, s.set, s.metric, s.direction))
            numbers = (s.mean, s.deviation, s.n, len(found.seeds), _difference(s, reference))
            writer.writerow([*names, *numbers, *tested, _note(s)])
    return held.getvalue()


def seeds_latex(found: Seeds) -> str:
    """The table with booktabs rules; the source says which package it needs."""
    lines = [
        r"% needs \usepackage{booktabs}; with pdfLaTeX also \usepackage[T1]{fontenc}",
        r"\begin{tabular}{lrrrrl}",
        r"\toprule",
        r"Model & Mean & Deviation & $n$ & Difference & Against retrained \\",
    ]
    for where, metric, block, reference in found.blocks():
        head = f"{tex(where)}: {tex(term(metric).title)} {ARROWS[block[0].direction]}"
        lines += [r"\midrule", rf"\multicolumn{{6}}{{l}}{{\textit{{{head}}}}} \\"]
        for s in block:
            values = (s.mean, s.deviation, s.n, _difference(s, reference))
            numbers = ("--" if value is None else tex_number(number(value)) for value in values)
            lines.append(" & ".join([tex(_name(s)), *numbers, tex_number(_finding(s))]) + r" \\")
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        f"% over {len(found.seeds)} runs; difference: of the means, to retrained; in brackets its 90 \\% interval",
    ]
    return "\n".join([*lines, ""])


SEED_FILES: Mapping[str, tuple[str, Callable[[Seeds], str]]] = {
    "md": ("seeds.md", seeds_markdown),
    "csv": ("seeds.csv", seeds_csv),
    "tex": ("seeds.tex", seeds_latex),
}


def write_seeds(found: Seeds, directory: str | Path) -> dict[str, Path]:
    """Write every format into a folder, each file whole or not at all; the paths by format."""
    made = {name: make(found).encode("utf-8") for name, (_, make) in SEED_FILES.items()}
    place = folder(directory)
    return {name: put(place / SEED_FILES[name][0], content) for name, content in made.items()}


def _markdown(found: Seeds) -> Iterator[str]:
    count = len(found.seeds)
    yield from (f"# Over {count} {'seed' if count == 1 else 'seeds'}", "")
    yield from (f"Seeds: {', '.join(map(str, found.seeds))}.", "", NOISE, "")
    tested = any(s.test for s in found.spreads)
    heads = ["set", "metric", "better", "model", "mean", "standard deviation", "n", "from retrained"]
    yield "| " + " | ".join([*heads, *(["against retrained"] if tested else []), "note"]) + " |"
    yield "|" + " --- |" * (len(heads) + tested + 1)
    for where, metric, block, reference in found.blocks():
        for s in block:
            way = WAYS[s.direction]
            names = [escape(where), escape(term(metric).title), f"{way.sign} {way.short}", escape(_name(s))]
            numbers = [number(s.mean), number(s.deviation), str(s.n), number(_difference(s, reference))]
            last = [_finding(s), _note(s)] if tested else [_note(s)]
            yield "| " + " | ".join([*names, *numbers, *last]) + " |"
    if tested:
        yield from ("", TEST, "", *(f"* **{word}**: {meaning}" for word, meaning in FINDINGS.items()))


def _name(spread: Spread) -> str:
    role = spread.model.role
    if role == "retrained":
        return f"{spread.model.label}, over seeds"
    return f"{spread.model.label} ({ROLES[role]})" if role in ROLES else spread.model.label


def _difference(spread: Spread, reference: Spread | None) -> float | None:
    if reference is None or spread is reference or spread.mean is None or reference.mean is None:
        return None
    return spread.mean - reference.mean


def _note(spread: Spread) -> str:
    return "; ".join(filter(None, (spread.note, spread.test.reason if spread.test else "")))


def _finding(spread: Spread) -> str:
    if spread.test is None:
        return ""
    test = spread.test
    bounds = f"{number(test.low)} to {number(test.high)}; " if test.low is not None else ""
    return f"{test.finding} ({bounds}margin {number(test.margin)})"
