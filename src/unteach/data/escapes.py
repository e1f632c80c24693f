"""A text as its characters are shown, where some of them are written out: entities, codes, tags."""

import re
from collections.abc import Iterator
from html import unescape
from html.entities import html5
from typing import NamedTuple
from urllib.parse import unquote

from unteach.data.lookalikes import BREAK, JOINT, Reading, Readings, readings

TAGGED = "a|abbr|b|big|br|code|del|div|em|font|h[1-6]|i|ins|kbd|li|mark|p|s|small|span|strong|sub|sup|td|th|tr|tt|u|wbr"
_TRAIL = "%[89ab][0-9a-f]"
_WHOLE = re.compile(
    r"(?P<entity>&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});)"
    rf"|(?P<octets>%[0-7][0-9a-f]|%[cd][0-9a-f]{_TRAIL}|%e[0-9a-f](?:{_TRAIL}){{2}}|%f[0-4](?:{_TRAIL}){{3}})"
    r"|(?P<code>\\u[0-9a-f]{4}|\\x[0-9a-f]{2})"
    r"|(?P<blank>\\[nrt])"
    rf"|(?P<tag></?(?:{TAGGED})\s?/?>)",
    re.IGNORECASE | re.ASCII,
)
_BEGUN = re.compile(
    r"&(?:#(?:\d{0,7}|x[0-9a-f]{0,6})|[a-z][a-z0-9]{0,30})?"
    r"|%[0-9a-f]?|%[c-f][0-9a-f](?:%[0-9a-f]{2}){0,2}(?:%[0-9a-f]?)?"
    r"|\\(?:u[0-9a-f]{0,3}|x[0-9a-f]?)?|</?(?:[a-z][a-z0-9]{0,5}\s?/?)?",
    re.IGNORECASE | re.ASCII,
)
_SIGNS = frozenset("&%\\<")
_LONGEST = 33


class Symbol(NamedTuple):
    """A character as it is shown, by what it may be read as, and how many characters it is written with."""

    read: Readings
    length: int = 1


def symbols(text: str, *, ended: bool, place: int = 0) -> Iterator[Symbol]:
    """The symbols of a text from a place on; one that the text's end cuts is left out, unless the text has ended."""
    while place < len(text):
        if text[place] not in _SIGNS:
            yield Symbol(readings(text[place]))
            place += 1
            continue
        found = _WHOLE.match(text, place)
        read = _read(found) if found else ()
        if not read and not ended and len(text) - place < _LONGEST and _BEGUN.fullmatch(text, place):
            return
        yield Symbol(read or readings(text[place]), len(found[0]) if found and read else 1)
        place += len(found[0]) if found and read else 1


def _read(found: re.Match[str]) -> Readings:
    """What is shown for what is written; nothing where it is no such thing."""
    written = found[0]
    match found.lastgroup:
        case "entity":
            shown = unescape(written) if written[1] == "#" or written[1:] in html5 else ""
        case "octets":
            shown = unquote(written, errors="ignore")
        case "code":
            shown = chr(int(written[2:], 16))
        case "blank":  # in a path the sign stands for itself
            return Reading(BREAK), Reading(f"{JOINT}{written[1].casefold()}")
        case _:
            return (Reading(JOINT),)
    return (
        readings(shown) if len(shown) == 1 else (Reading("".join(readings(c)[0].units for c in shown)),) * bool(shown)
    )
