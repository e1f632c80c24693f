"""JSON lines, a JSON list, or an object that holds one list, read strictly.

Repeated keys, NaN and Infinity are refused: other readers give such a row another meaning, or none.
"""

import json
import re
from collections.abc import Mapping
from typing import BinaryIO

from unteach.data import columns, files
from unteach.data.rows import Numbered, Place
from unteach.schema import InputError

_REPAIR = "repair or remove it"
_BLANK = re.compile(r"[ \t\r\n]*")


class _NotStrict(ValueError):
    """Text that Python's parser would take and the JSON standard does not."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise _NotStrict("a key stands twice in one object")
    return row


def _refuse_constant(name: str) -> object:
    raise _NotStrict(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse_constant)


def decode(text: str, place: Place, *, start: int = 0) -> tuple[object, int]:
    """The value at `start` and where it ends.

    The parser's own error holds the whole text, so ours is raised after it is gone.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        inner = "" if place.unit == "line" else f"line {error.lineno}, "
        what = f"the JSON is broken at {inner}column {error.colno}"
        place = place if place.number is not None else place.at(error.lineno)
    except _NotStrict as error:
        what = str(error)
    except RecursionError:
        what = "the JSON is nested too deeply"
    except ValueError:
        what = "a number has too many digits"
    raise place.error(what, _REPAIR)


def whole(text: str, place: Place) -> object:
    """A text that is one JSON value and nothing else."""
    value, end = decode(text, place, start=_skip(text, 0))
    if (end := _skip(text, end)) < len(text):
        here = place if place.number is not None else place.at(1 + text.count("\n", 0, end))
        raise here.error("text follows the JSON value", "put every object on a line of its own")
    return value


def by_line(file: BinaryIO, place: Place) -> Numbered:
    """One object a line; blank lines are passed over."""
    for number, line in files.lines(file, place):
        if line.strip():
            yield number, whole(line, place.at(number))


def by_content(file: BinaryIO, place: Place) -> tuple[Place, Numbered]:
    """A `.json` file: a list, lines (as TOFU ships them), or an object that holds one list."""
    rows = Place(place.source, "row")
    start = file.tell()
    first = _first_line(file)
    alone = not _first_line(file)
    file.seek(start)
    if first.startswith(b"["):
        return rows, _elements(files.text(file, place), rows)
    if first.endswith(b"}") and not (alone and _wraps(first, place)):
        return place, by_line(file, place)
    return rows, _held(whole(files.text(file, place), place), place)


def _first_line(file: BinaryIO) -> bytes:
    """The next line that is not blank, stripped; at most the first `MAX_LINE` bytes of it."""
    while line := file.readline(files.MAX_LINE):
        if stripped := line.strip():
            return stripped
    return b""


def _wraps(line: bytes, place: Place) -> bool:
    """Whether the only line of a file is an object around the rows, and not itself a row."""
    try:
        value = whole(line.decode("utf-8", "replace"), place)
    except InputError:
        return False  # reading it as a line will name the line
    return isinstance(value, Mapping) and columns.find(value) is None and len(_lists(value)) == 1


def _lists(value: Mapping[str, object]) -> list[list[object]]:
    return [item for item in value.values() if isinstance(item, list)]


def _held(value: object, place: Place) -> Numbered:
    held = _lists(value) if isinstance(value, Mapping) else []
    if len(held) != 1:
        raise place.error("the file is neither a list of rows nor an object that holds one list", files.FORMATS)
    return enumerate(held[0], 1)


def _elements(text: str, place: Place) -> Numbered:
    """The elements of a list, one at a time, so that an error names the row it stands in."""
    at = _skip(text, _skip(text, 0) + 1)
    number = 0
    more = not text.startswith("]", at)
    while more:
        number += 1
        here = place.at(number)
        value, at = decode(text, here, start=at)
        yield number, value
        at = _skip(text, at)
        more = text.startswith(",", at)
        if more:
            at = _skip(text, at + 1)
        elif not text.startswith("]", at):
            raise here.error("the list is broken or cut off after it", _REPAIR)
    if _skip(text, at + 1) < len(text):
        raise place.error("text follows the list", "keep one list in the file")


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at
