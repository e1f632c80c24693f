"""What the page's sections hold, taken from a clean report and ready to be set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unteach.report.attacks import attack_words
from unteach.report.glossary import Term, term
from unteach.report.table import Column, columns, plane
from unteach.report.words import KINDS, VERDICTS, WAYS, Saying, Way, gate_said, gate_state
from unteach.schema import Direction, Example, Report, Verdict

HEAD = 420  # characters of an answer shown before the reader asks for the rest


@dataclass(frozen=True)
class Strip:
    """One score of one edit on a line between two ends: where it was, where it is, where it should be."""

    title: str
    where: str
    before: float | None
    after: float
    reference: float | None
    low: float
    high: float

    def place(self, value: float) -> float:
        """Per cent of the way from the low end to the high end."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


@dataclass(frozen=True)
class Card:
    """One edited model: its verdict in plain words, its gates as sentences, its two leading scores."""

    label: str
    verdict: Verdict | None
    saying: Saying | None
    gates: tuple[tuple[str, str, str], ...]  # state, sentence without it, note
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Passage:
    """A text in two parts: what is shown at once, and the rest."""

    head: str
    rest: str


@dataclass(frozen=True)
class Exhibit:
    """One question and the answers of all models."""

    where: str
    record: str
    prompt: Passage
    gold: Passage
    answers: tuple[tuple[Column, Passage | None], ...]


def cards(report: Report) -> tuple[Card, ...]:
    """A card for each edited model and for whatever else has a verdict."""
    return tuple(
        _card(report, column) for column in columns(report) if column.role == "edited" or column.name in report.verdicts
    )


def exhibits(report: Report) -> tuple[tuple[str, tuple[Exhibit, ...]], ...]:
    """The examples under their headings: leaks, losses, the rest."""
    kinds = dict.fromkeys([*KINDS, *(example.kind for example in report.examples)])
    groups = ((kind, [e for e in report.examples if e.kind == kind]) for kind in kinds)
    models = columns(report)
    return tuple((KINDS.get(kind, kind), tuple(_exhibit(e, models) for e in found)) for kind, found in groups if found)


def glossary(report: Report) -> tuple[tuple[str, Term, tuple[tuple[str, Way], ...]], ...]:
    """Every metric once: its meaning, and which way it should move, with the sets named where they differ; then attacks."""
    ways: dict[str, dict[Direction, list[str]]] = {}
    for row in report.scores:
        sets = ways.setdefault(row.score.name, {}).setdefault(row.score.direction, [])
        if row.set not in sets:
            sets.append(row.set)
    metrics = (
        (name, term(name), tuple((", ".join(s) if len(found) > 1 else "", WAYS[d]) for d, s in found.items()))
        for name, found in ways.items()
    )
    return (*metrics, *((name, explained, ()) for name, explained in attack_words(report)))


def pairs(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A mapping as lines of (key, text); inner mappings become dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from pairs(value, f"{prefix}{key}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield prefix + key, ", ".join(map(str, value))
        else:
            yield prefix + key, "" if value is None else str(value)


def _card(report: Report, column: Column) -> Card:
    verdict = report.verdicts.get(column.name)
    gates = verdict.gates if verdict is not None else ()
    return Card(
        column.label,
        verdict,
        VERDICTS[verdict.verdict] if verdict is not None else None,
        tuple((gate_state(gate), gate_said(gate), gate.note) for gate in gates),
        tuple(_strips(report, column.name)),
    )


def _strips(report: Report, model: str) -> Iterator[Strip]:
    roles = {column.role: column.name for column in reversed(columns(report))}  # the first of several
    for where, metric in plane(report) or ():
        values = {
            row.model: row.score.value
            for row in report.scores
            if (row.set, row.score.name) == (where, metric) and row.score.value is not None
        }
        if model not in values:
            continue
        before, after = values.get(roles.get("original", "")), values[model]
        reference = values.get(roles.get("retrained", ""))
        known = [value for value in (before, after, reference) if value is not None]
        share = all(0 <= value <= 1 for value in known)
        low, high = (0.0, 1.0) if share else (min(known), max(known))
        yield Strip(term(metric).title, where, before, after, reference, low, high if high > low else low + 1)


def _exhibit(example: Example, models: Sequence[Column]) -> Exhibit:
    named = [*models, *(Column(n, n, "") for n in example.answers if n not in {m.name for m in models})]
    answers = tuple(
        (column, _passage(example.answers[column.name]) if column.name in example.answers else None) for column in named
    )
    return Exhibit(example.set, example.record, _passage(example.prompt), _passage(example.gold), answers)


def _passage(text: str) -> Passage:
    return Passage(text, "") if len(text) <= HEAD * 1.2 else Passage(text[:HEAD], text[HEAD:])
