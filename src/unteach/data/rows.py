"""What reading yields: records in file order, and the place each of them came from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from unteach.schema import InputError, Record

Unit = Literal["line", "row"]
Numbered = Iterator[tuple[int, object]]  # 1-based line or row number, and what stands there, not yet checked


@dataclass(frozen=True)
class Rows:
    """The records of one source, in its order.

    `lines[i]` says where `records[i]` starts: the 1-based line of a text file, or (where `unit` is "row") the
    1-based element of a JSON list, a Parquet file, a hub data set or a Python sequence. `columns` maps our
    roles to the source's column names. `notes` say in plain words what was left out; none repeats content.
    `marks[i]` is what stands in a column that the reader was asked to keep as well.
    """

    records: tuple[Record, ...] = field(repr=False)
    source: str
    lines: tuple[int, ...] = field(repr=False)
    columns: Mapping[str, str]
    notes: tuple[str, ...] = ()
    unit: Unit = "line"
    marks: tuple[str, ...] = field(default=(), repr=False)

    @property
    def legend(self) -> str:
        """How the columns were understood: `prompt <- question, answer <- answer`."""
        return ", ".join(f"{role} <- {column}" for role, column in self.columns.items())


@dataclass(frozen=True)
class Place:
    """A source, and a line or row in it; every complaint about a row is made here."""

    source: str
    unit: Unit = "line"
    number: int | None = None

    def at(self, number: int) -> "Place":
        return replace(self, number=number)

    def error(self, what: str, remedy: str) -> InputError:
        """`what` and `remedy` must not hold text of the row."""
        if self.unit == "row" and self.number is not None:
            return InputError.at(f"{self.source}, row {self.number}", None, what, remedy)
        return InputError.at(self.source, self.number, what, remedy)


def printable(name: object) -> str:
    """A source's name on one line: what a terminal would not show as it stands is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))
