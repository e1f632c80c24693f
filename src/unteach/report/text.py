"""The report as text: Markdown to paste, a LaTeX table for a paper, CSV for a spreadsheet.

None of them repeats a question or an answer.
"""

import csv
import re
from collections.abc import Iterator
from io import StringIO

from unteach.report.attacks import AttackTable, attack_table
from unteach.report.clean import clean
from unteach.report.table import Cell, Column, Group, Line, Table, table
from unteach.report.visible import one_line, visible
from unteach.report.words import (
    CONTROL,
    GUARANTEES,
    HOLDS,
    NO_CONTROL,
    ROLES,
    UNDER_ATTACK,
    VERDICTS,
    WAYS,
    beyond,
    gate_sentence,
    interval,
    moved,
    number,
    recovered,
)  # fmt: skip
from unteach.schema import Finding, Report, Row

FIELDS = ("model", "set", "metric", "value", "low", "high", "n", "direction", "note")
ATTACK_FIELDS = (
    "attack", "model", "holds", "measure", "before", "value", "low", "high", "n", "recovered", "excess", "axis", "curve",
    "note",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
        "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
        ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    }
)  # fmt: skip
BRIEF = {"original": "before", "edited": "after", "retrained": "reference"}
ARROWS = {"up": r"$\uparrow$", "down": r"$\downarrow$", "target": r"$\circ$", "zero": r"$\to 0$"}


def csv_table(report: Report) -> str:
    """One line a score. A text that a spreadsheet would run as a formula begins with an apostrophe."""
    held = StringIO()
    writer = csv.writer(held, lineterminator="\r\n")
    writer.writerow(FIELDS)
    for row in clean(report).scores:
        writer.writerow(plain(value) if isinstance(value, str) else value for value in _values(row))
    return held.getvalue()


def attacks_csv(report: Report) -> str:
    """One line for each attack on each model, or nothing where none was made. A curve is a list of x=mean."""
    if not report.attacks:
        return ""
    held = StringIO()
    writer = csv.writer(held, lineterminator="\r\n")
    writer.writerow(ATTACK_FIELDS)
    for found in clean(report).attacks:
        curve = "; ".join(f"{x:g}={mean}" for x, mean in found.curve)
        values = (curve if field == "curve" else getattr(found, field) for field in ATTACK_FIELDS)
        writer.writerow(plain(value) if isinstance(value, str) else value for value in values)
    return held.getvalue()


def markdown(report: Report) -> str:
    """The whole report but for its figures and answers, as GitHub-flavoured Markdown."""
    whole = clean(report)
    return "\n".join(_markdown(whole)).rstrip() + "\n"


def markdown_table(report: Report) -> str:
    """The main table alone, as GitHub-flavoured Markdown."""
    return "\n".join(_markdown_table(table(clean(report)))) + "\n"


def latex(report: Report) -> str:
    """The main table with booktabs rules; the source says which package it needs."""
    found = table(clean(report))
    heads = ["Metric", "$n$", *(tex(column.label) for column in found.columns)]
    roles = ["", "", *(BRIEF.get(column.role, "") for column in found.columns)]
    lines = [
        r"% needs \usepackage{booktabs}; with pdfLaTeX also \usepackage[T1]{fontenc}",
        r"\begin{tabular}{ll" + "r" * len(found.columns) + "}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        " & ".join(roles) + r" \\",
    ]
    for group in found.groups:
        lines += [r"\midrule", *_latex_group(group, found.columns)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    key = r"% up: higher is better; down: lower; circle: nearest to the retrained model; to 0: nearest to 0"
    return "\n".join([*lines, key, ""])


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no markup, no HTML, no link, no cell border."""
    flat = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", flat)
    shown = shown.replace("://", r":\//").replace("www.", r"www\.")
    return re.sub(r"^([#+=-]|\d+(?=[.)](?:\s|$)))", lambda found: _not_a_list(found[1]), shown)


def plain(text: str) -> str:
    """Text for a cell of CSV: a spreadsheet takes it for no formula."""
    shown = visible(text)
    return f"'{shown}" if shown.lstrip(" ").startswith(FORMULA) else shown


def _not_a_list(start: str) -> str:
    return f"&#{ord(start[0])};{start[1:]}"


def _values(row: Row) -> tuple[str | float | int | None, ...]:
    s = row.score
    return (row.model, row.set, s.name, s.value, s.low, s.high, s.n, s.direction, s.note)


def _markdown(report: Report) -> Iterator[str]:
    kind = GUARANTEES[report.guarantee.kind]
    yield from (f"# {escape(report.title or 'Forgetting report')}", "")
    facts = {
        "Request": report.request.get("id"),
        "Scope": report.request.get("scope"),
        "Made": report.created,
        "Method": report.method.get("name"),
    }
    yield from (f"* {key}: {escape(str(value))}" for key, value in facts.items() if value)
    for name, about in report.sets.items():
        yield f"* Set {escape(name)}: {escape(str(about.get('n', '?')))} records"
    yield ""
    yield from verdict_lines(report)
    yield from ("## What may be claimed", "", f"**{kind[0]}.** {kind[1]}")
    if report.guarantee.claim:
        yield from ("", escape(report.guarantee.claim))
    yield from ("", "## Before and after", "", *_markdown_table(table(report)), "")
    if report.attacks:
        yield from ("## Attacks", "", *_markdown_attacks(attack_table(report)))
    for heading, lines in (("What was not tested", report.untested), ("Notes", report.notes)):
        if lines:
            yield from (f"## {heading}", "", *(f"* {escape(line)}" for line in lines), "")


def verdict_lines(report: Report) -> Iterator[str]:
    """The verdicts with their gates, as lines of Markdown."""
    yield from ("## Verdict", "")
    labels = {column.name: column.label for column in table(report).columns}
    for model, verdict in report.verdicts.items():
        hidden = " (hidden, not removed)" if report.guarantee.kind == "suppression" else ""
        yield f"**{escape(labels[model])}: {verdict.verdict}{hidden}.** {VERDICTS[verdict.verdict].meaning}"
        if verdict.reason:
            yield from ("", escape(verdict.reason))
        yield ""
        for gate in verdict.gates:
            yield f"* {escape(gate_sentence(gate))}" + (f" ({escape(gate.note)})" if gate.note else "")
        if verdict.gates:
            yield ""
    if not report.verdicts:
        yield from ("No edited model was judged.", "")


def _markdown_table(found: Table) -> Iterator[str]:
    if not found.groups:
        yield "No score was measured."
        return
    if not found.has_utility:
        yield (
            "**Do not read the forget scores alone:** nothing that had to stay was measured, and a destroyed "
            "model passes every forget score."
        )
        yield ""
    heads = [_head(column) for column in found.columns]
    yield "| " + " | ".join(["set", "metric", "better", "n", *heads]) + " |"
    yield "|" + " --- |" * (len(heads) + 4)
    for group in found.groups:
        for line in group.lines:
            cells = [_cell(cell) for cell in line.cells]
            way = WAYS[line.direction]
            first = [escape(group.name), escape(line.title), f"{way.sign} {way.short}", str(line.n or "")]
            yield "| " + " | ".join([*first, *cells]) + " |"
        if not group.lines:
            yield "| " + " | ".join([escape(group.name), "", "", "", *["not measured"] * len(heads)]) + " |"


def _markdown_attacks(found: AttackTable) -> Iterator[str]:
    if found.groups:
        heads = [_head(column) for column in found.columns]
        yield from (f"{UNDER_ATTACK} {CONTROL if found.has_control else NO_CONTROL}", "")
        yield "| " + " | ".join(["the attacker", "attack", "spent", "measure", "n", *heads]) + " |"
        yield "|" + " --- |" * (len(heads) + 5)
    for group in found.groups:
        for line in group.lines:
            first = [HOLDS.get(group.holds, group.holds), line.title, line.spent, line.measure, str(line.n or "")]
            cells = [attack_cell(cell) if cell is not None else "not made" for cell in line.cells]
            yield "| " + " | ".join([*map(escape, first), *cells]) + " |"
    if found.groups:
        yield ""
    for gone in found.refusals:
        yield f"* No value: {escape(gone.title)} on {escape(', '.join(gone.models))}" + (
            f" ({escape(gone.reason)})" if gone.reason else ""
        )
    if found.refusals:
        yield ""


def attack_cell(finding: Finding) -> str:
    """What an attack brought out of one model, on one line."""
    if finding.value is None:
        return "no value"
    bounds = interval(finding)
    first = moved(finding) + (f" ({bounds})" if bounds else "")
    return "; ".join(filter(None, (first, recovered(finding), beyond(finding))))


def _head(column: Column) -> str:
    role = ROLES.get(column.role)
    return escape(column.label) + (f" ({role})" if role else "")


def _cell(cell: Cell) -> str:
    if cell.score is None:
        return "not measured"
    if cell.score.value is None:
        return "not defined" + (f": {escape(cell.score.note)}" if cell.score.note else "")
    bounds = interval(cell.score)
    return number(cell.score.value) + (f" ({bounds})" if bounds else "")


def _latex_group(group: Group, columns: tuple[Column, ...]) -> Iterator[str]:
    yield rf"\multicolumn{{{len(columns) + 2}}}{{l}}{{\textit{{{tex(group.name)}}}}} \\"
    for line in group.lines:
        yield _latex_line(line)
    if not group.lines:
        yield " & ".join(["what had to stay", "", *["not measured"] * len(columns)]) + r" \\"


def _latex_line(line: Line) -> str:
    cells = []
    for cell in line.cells:
        if cell.score is None or cell.score.value is None:
            cells.append("--")
            continue
        bounds = interval(cell.score)
        small = rf" {{\scriptsize [{tex_number(bounds)}]}}" if bounds else ""
        cells.append(tex_number(number(cell.score.value)) + small)
    name = f"{tex(line.title)} {ARROWS[line.direction]}"
    return " & ".join([name, str(line.n or ""), *cells]) + r" \\"


def tex(text: str) -> str:
    """Text that LaTeX shows as it is, on one line."""
    return one_line(text).translate(LATEX)


def tex_number(text: str) -> str:
    """What `number` and `interval` wrote, in LaTeX's own signs."""
    ordinary = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    powers = re.sub(r"×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda m: rf"$\times 10^{{{m[1].translate(ordinary)}}}$", text)
    return powers.replace("−", "$-$").replace(" to ", ", ")
