"""Other values of the shape of a given one: as many digits, the same separators, a plausible range."""

import re
from collections.abc import Callable, Mapping
from itertools import islice

from unteach.data.wordings.lot import lot
from unteach.data.wordings.values import COUNTS, MONTHS, Kind, Value

LATEST = 2025  # no year is put beyond it that was not beyond it
TRIES = 64
Drawn = Callable[[int, int], int]  # a number from the first to the second, both included

_MONTH = re.compile("|".join(MONTHS))
_NUMBER = re.compile(r"\d+")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")


def others(value: Value, k: int, *parts: object) -> list[str]:
    """At most `k` different values of the shape of this one, none of them itself, drawn from the parts."""
    make = _MAKERS.get(value.kind)
    if make is None:
        return []
    made = (make(value.text, _drawn(*parts, n)) for n in range(TRIES))
    fresh = dict.fromkeys(text for text in made if text != value.text)
    return list(islice(fresh, k))


def _drawn(*parts: object) -> Drawn:
    count = iter(range(TRIES))
    return lambda low, high: low + lot(*parts, next(count)) % (high - low + 1)


def _year(text: str, drawn: Drawn) -> str:
    """Within a generation of the given one, and not in the future where that is not."""
    year = int(text)
    latest = min(year + 30, max(year, LATEST))
    return f"{drawn(max(1000 if year >= 1000 else 1, latest - 60), latest):04d}"


def _number(text: str, drawn: Drawn) -> str:
    """A whole number near the given one where it is small; else digit by digit, the first one not 0.

    What is up to 100 stays so: it may be a share.
    """
    if text.isdigit() and len(text) < 4:
        n = int(text)
        return str(drawn(max(1, n // 2), max(n + 2, n * 2) if n > 100 else min(100, max(n + 5, n * 2))))
    return _digits(text, drawn)


def _digits(text: str, drawn: Drawn) -> str:
    first = next(i for i, c in enumerate(text) if c.isdigit())
    return "".join(str(drawn(int(i == first), 9)) if c.isdigit() else c for i, c in enumerate(text))


def _phone(text: str, drawn: Drawn) -> str:
    """The country or area stays, the number changes."""
    first = _NUMBER.search(text)
    assert first is not None
    cut = first.end() if first.end() < len(text) else first.start() + 3
    return text[:cut] + "".join(str(drawn(0, 9)) if c.isdigit() else c for c in text[cut:])


def _date(text: str, drawn: Drawn) -> str:
    """Day, month and year each drawn anew, written the same way; a day is up to 28, so that every month has it."""

    def put(match: re.Match[str]) -> str:
        if len(match[0]) == 4:
            return _year(match[0], drawn)
        # Numbers of a month or a day cannot be told apart where both are small.
        high = 12 if _MONTH.search(text) is None and int(match[0]) <= 12 else 28
        return f"{drawn(1, high):0{len(match[0]) if match[0].startswith('0') or len(match[0]) == 2 else 1}d}"

    changed = _NUMBER.sub(put, _MONTH.sub(lambda _: MONTHS[drawn(0, 11)], text))
    return _ORDINAL.sub(lambda m: m[1] + _suffix(int(m[1])), changed)


def _suffix(day: int) -> str:
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _count(text: str, drawn: Drawn) -> str:
    """A number word within three of the given one."""
    at = COUNTS.index(text.casefold())
    word = COUNTS[drawn(max(0, at - 3), min(len(COUNTS) - 1, at + 3))]
    return word.capitalize() if text[0].isupper() else word


_MAKERS: Mapping[Kind, Callable[[str, Drawn], str]] = {
    "year": _year,
    "number": _number,
    "phone": _phone,
    "date": _date,
    "count": _count,
}


def mails(text: str, hosts: list[str], k: int, *parts: object) -> list[str]:
    """Addresses of the same person at hosts of other rows; where there are none, other spellings at the same host."""
    name, _, own = text.partition("@")
    pieces = re.split(r"[._-]", name)
    spelt = [
        name,
        ".".join(reversed(pieces)),
        "_".join(pieces),
        *(f"{name}{lot(*parts, n) % 90 + 10}" for n in range(k)),
    ]
    pairs = [*((name, host) for host in hosts), *((other, own) for other in spelt)]
    return list(islice(dict.fromkeys(f"{a}@{b}" for a, b in pairs if f"{a}@{b}" != text), k))
