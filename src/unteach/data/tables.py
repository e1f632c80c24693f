"""CSV and TSV: the first line names the columns, every other row has as many fields."""

import csv
from collections.abc import Iterator
from typing import BinaryIO

from unteach.data import columns, files, jsonfiles
from unteach.data.rows import Numbered, Place


def comma(file: BinaryIO, place: Place) -> Numbered:
    """Line number and row of a CSV file, whose delimiter is the one most used in its first line: , ; or tab."""
    start = file.tell()
    first = next((line for _, line in files.lines(file, place) if line.strip()), "")
    file.seek(start)
    return _rows(file, place, max(",;\t", key=first.count))


def tab(file: BinaryIO, place: Place) -> Numbered:
    """Line number and row of a TSV file."""
    return _rows(file, place, "\t")


def _rows(file: BinaryIO, place: Place, delimiter: str) -> Numbered:
    fields = _fields(file, place, delimiter)
    number, header = next(fields, (1, []))
    _check_header(header, place.at(number))
    for number, row in fields:
        if len(row) != len(header):
            what = f"has {_count(row)} where the first line has {len(header)}"
            raise place.at(number).error(what, "quote fields that hold the delimiter")
        yield number, {n: _cell(n, v, place.at(number)) for n, v in zip(header, row, strict=True)}


def _count(row: list[str]) -> str:
    return f"{len(row)} field" + "s" * (len(row) != 1)


def _fields(file: BinaryIO, place: Place, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The line a row starts on, and its fields; blank lines are passed over."""
    reader = csv.reader((line for _, line in files.lines(file, place)), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            failed = True
        else:
            failed = False
        if failed:
            what = f"a quote is not closed, or a field has more than {csv.field_size_limit():,} characters"
            raise place.at(number).error(what, "repair the quotes, and use JSON lines for long texts")
        if row:
            yield number, row


def _check_header(header: list[str], place: Place) -> None:
    if columns.find(header) is None:
        names = columns.listed(header, only_known=True)
        what = f"the first line must name the columns, and its fields ({names}) fit no shape"
        raise place.error(what, f"the shapes are {columns.SHAPES}")
    if len(set(header)) < len(header):
        raise place.error("two columns have the same name", "give every column its own name in the first line")


def _cell(name: str, value: str, place: Place) -> object:
    """A cell of a column that may hold a list is JSON where it looks like a list."""
    if name.strip().casefold() in columns.LISTS and value.lstrip().startswith("["):
        return jsonfiles.whole(value, place)
    return value
