"""One file as a request: a column says which of its rows go and which stay, or of which class each row is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from unteach.data.rows import Rows
from unteach.schema import InputError

SHOWN = 20  # numbers of classes in a message
CHOICES = 50  # answers from which a classifier chooses; with more of them the answers name no classes


def parted(rows: Rows, value: str) -> tuple[Rows, Rows]:
    """The rows with a value in the column that they were read by, and all others; rows without a label are numbered.

    Wrong answers of a row that has none are the answers of the others, where these are so few that they name classes.
    """
    here = [mark == value for mark in rows.marks]
    if not any(here):
        raise InputError(f"{rows.source}: no row has the value that --by names; {_values(rows.marks)}")
    if all(here):
        raise InputError(
            f"{rows.source}: all rows have the value that --by names, and none is left to keep; name another value"
        )
    number = _numbers(rows.marks)
    labels = [r.label if r.label is not None else number[m] for r, m in zip(rows.records, rows.marks, strict=True)]
    told = _offered(_labelled(rows, labels))
    return _chosen(told, here), _chosen(told, [not is_here for is_here in here])


def classed(rows: Rows) -> Rows:
    """The rows with the values in the column that they were read by as labels: the classes of a concept."""
    counts = Counter(rows.marks)
    if len(counts) < 2:
        raise InputError(f"{rows.source}: all rows have one value in the column that --by names; a concept has two")
    if max(counts.values()) < 2:
        raise InputError(
            f"{rows.source}: no two rows share a value in the column that --by names; name a column of classes"
        )
    number = _numbers(rows.marks)
    return _labelled(rows, [number[mark] for mark in rows.marks])


def _numbers(marks: Sequence[str]) -> Mapping[str, int]:
    """Whole numbers are their own; other values are numbered in the order of the alphabet."""
    values = sorted(set(marks))
    whole = all(value.isdecimal() and len(value) < 10 for value in values)
    return {value: int(value) if whole else n for n, value in enumerate(values)}


def _values(marks: Sequence[str]) -> str:
    """Which values there are: numbers by themselves; others may be content, and are counted."""
    values = set(marks)
    if len(values) <= SHOWN and all(value.isdecimal() for value in values):
        return f"there are {', '.join(sorted(values, key=int))}"
    return f"it names one of {len(values)} values there, written as they are"


def _labelled(rows: Rows, labels: Sequence[int]) -> Rows:
    return replace(rows, records=tuple(replace(r, label=n) for r, n in zip(rows.records, labels, strict=True)))


def _offered(rows: Rows) -> Rows:
    answers = sorted({r.answer for r in rows.records})
    if len(answers) > min(CHOICES, len(rows.records) // 2):
        return rows
    given = (
        r if r.perturbed else replace(r, perturbed=tuple(a for a in answers if a != r.answer)) for r in rows.records
    )
    return replace(rows, records=tuple(given))


def _chosen(rows: Rows, here: Sequence[bool]) -> Rows:
    kept = [i for i, is_here in enumerate(here) if is_here]
    return replace(
        rows,
        records=tuple(rows.records[i] for i in kept),
        lines=tuple(rows.lines[i] for i in kept),
        marks=tuple(rows.marks[i] for i in kept),
    )
