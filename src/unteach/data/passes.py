"""What a pass over training data is: rows in, rows out, and where something was found, never what it was."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from unteach.schema import Record


@dataclass(frozen=True)
class Mark:
    """One thing found: its kind and its place.

    `row` counts from 0 in the rows that were given. `where` names the text of the row ("prompt", "answer",
    "messages.0", ... as in `data.rewriting`; empty for the row as a whole), and `start` to `end` (exclusive) are its
    characters in that text as it was given. `of` is the id of the row that it repeats, where it repeats one.
    """

    row: int
    id: str
    kind: str
    where: str = ""
    start: int = 0
    end: int = 0
    of: str = ""


@dataclass(frozen=True)
class Cleaned:
    """The rows that a pass leaves, in the order given, and what it found.

    `kept[i]` is the number (from 0) of the row given that became `records[i]`; `seen` counts the rows given. A row
    keeps its id when its text changes. `notes` say in plain words what a count cannot; none repeats content.
    """

    records: tuple[Record, ...] = field(repr=False)
    kept: tuple[int, ...] = field(repr=False)
    seen: int
    marks: tuple[Mark, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each kind was found, by name."""
        return dict(sorted(Counter(mark.kind for mark in self.marks).items()))

    @property
    def rows(self) -> tuple[int, ...]:
        """The numbers, from 0, of the rows given in which something was found."""
        return tuple(sorted({mark.row for mark in self.marks}))

    @property
    def rate(self) -> float | None:
        """The share of the rows given in which something was found; None where none was given."""
        return len(self.rows) / self.seen if self.seen else None


class Pass(Protocol):
    """A frozen dataclass whose fields are its settings, other sets of rows among them; deterministic.

    It alters nothing that it is given, and a second run over its own result changes nothing more.
    """

    def __call__(self, records: Sequence[Record], /) -> Cleaned: ...


def without(records: Sequence[Record], marks: Iterable[Mark], notes: tuple[str, ...] = ()) -> Cleaned:
    """All rows but those that bear a mark."""
    found = tuple(marks)
    gone = {mark.row for mark in found}
    kept = tuple(i for i in range(len(records)) if i not in gone)
    return Cleaned(tuple(records[i] for i in kept), kept, len(records), found, notes)


def all_of(
    records: Sequence[Record], given: Sequence[Record], marks: Iterable[Mark], notes: tuple[str, ...] = ()
) -> Cleaned:
    """Every row given, as it stands now."""
    return Cleaned(tuple(records), tuple(range(len(given))), len(given), tuple(marks), notes)
