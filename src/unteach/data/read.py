"""Read a user's records: a file, a data set of the hub, or rows made in Python."""

import os.path
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from unteach.data import files, hub, jsonfiles, records, tables
from unteach.data.layout import Layout
from unteach.data.rows import Numbered, Place, Rows, Unit, printable
from unteach.schema import InputError, Record, record_id

Reader = Callable[[BinaryIO, Place], Numbered]

_SUFFIXES: Mapping[str, tuple[Unit, Reader]] = {
    ".jsonl": ("line", jsonfiles.by_line),
    ".ndjson": ("line", jsonfiles.by_line),
    ".csv": ("line", tables.comma),
    ".tsv": ("line", tables.tab),
    ".parquet": ("row", hub.parquet),
}


def read(
    source: str | Path | Iterable[Mapping[str, object] | Record], *, limit: int | None = None, by: str = ""
) -> Rows:
    """All records of a source, or the first `limit`, in its order.

    A string or path names a JSON lines, JSON, CSV, TSV or Parquet file; a string `owner/name`,
    `owner/name:config` or `owner/name:config:split` that is no file names a data set of the Hugging Face hub.
    Otherwise it is an iterable of mappings or records (a list, a `datasets.Dataset`). See `columns` for the
    columns that are understood. A row without an `id` gets one from its content; the second row of the same
    content gets it with `-2` behind it, and so on. What stands in the column `by` is kept beside the records.

    Lines are read one at a time; only a JSON list is held whole while it is parsed.

    Raises `InputError` for everything that is wrong with the source, with the line or row it is wrong on.
    """
    if limit is not None and limit < 1:
        raise InputError("The limit on rows is below 1; give a positive number")
    if not isinstance(source, str | Path):
        return _given(source, limit, by)
    name = hub.hub_name(source) if isinstance(source, str) else None
    path, place = Path(source), Place(printable(source))
    if name and not os.path.exists(path):
        place = Place(place.source, "row")
        return _collect(hub.stream(name, place), place, limit, by)
    with files.opened(path, place) as file:
        place, rows = _table(file, path.suffix.lower(), place)
        return _collect(rows, place, limit, by)


def _table(file: BinaryIO, suffix: str, place: Place) -> tuple[Place, Numbered]:
    """The format by extension; a file without a known one is looked into."""
    start = file.tell()
    head = file.read(4096)
    file.seek(start)
    if head.startswith(files.PARQUET):
        suffix = ".parquet"
    if suffix in _SUFFIXES:
        unit, reader = _SUFFIXES[suffix]
        place = replace(place, unit=unit)
        return place, reader(file, place)
    if suffix == ".json" or head.lstrip()[:1] in (b"{", b"["):
        return jsonfiles.by_content(file, place)
    raise place.error("the format is not recognised", f"{files.FORMATS}, with the usual extension")


def _given(source: object, limit: int | None, by: str) -> Rows:
    """Rows made in Python, which are checked like any others."""
    place = Place("the rows given", "row")
    if isinstance(source, Mapping):
        raise place.error("this is a mapping, not a sequence of rows", "pass one of its splits or values")
    if isinstance(source, bytes | bytearray) or not isinstance(source, Iterable):
        raise place.error("this is not a sequence of rows", "pass mappings, records or a path")
    return _collect(enumerate(source, 1), place, limit, by)


def _collect(rows: Numbered, place: Place, limit: int | None, by: str) -> Rows:
    found: list[Record] = []
    lines: list[int] = []
    marks: list[str] = []
    layout, ids = Layout(), _Ids()
    for number, row in islice(rows, limit):
        here = place.at(number)
        if isinstance(row, Record):
            records.check(row, here)
            record = row
        else:
            cells = layout.cells(row, here, by)
            record = records.build(cells)
        found.append(ids.claim(record, number, here))
        lines.append(number)
        if by:
            marks.append(layout.mark(vars(row) if isinstance(row, Record) else row, by, here))
    if not found:
        raise place.error("there are no rows", "give at least one")
    notes = layout.notes()
    if len(found) == limit:
        notes = (*notes, f"reading stopped after {limit} rows, as asked")
    return Rows(tuple(found), place.source, tuple(lines), layout.used, notes, place.unit, tuple(marks))


@dataclass(frozen=True)
class _Ids:
    """The ids taken so far, and where."""

    taken: dict[str, int] = field(default_factory=dict)
    repeats: Counter[str] = field(default_factory=Counter)

    def claim(self, record: Record, number: int, place: Place) -> Record:
        """The record under an id of its own; only an id that came with its row can be refused."""
        first = record.id or record_id(record.prompt, record.answer, record.messages)
        name = first
        while name in self.taken:
            if record.id:
                what = f"the id is already that of {place.unit} {self.taken[name]}"
                raise place.error(what, "give every row an id of its own, or none")
            self.repeats[first] += 1
            name = f"{first}-{self.repeats[first] + 1}"
        self.taken[name] = number
        return replace(record, id=name)
