"""What is peculiar to texts, each with a common counterpart of its kind, and texts that say the counterparts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from unteach.data.wordings.lot import lot
from unteach.data.wordings.shapes import others
from unteach.data.wordings.slots import HEADS
from unteach.data.wordings.values import Value, values
from unteach.schema import Record

FIRST = "Alex Chris Dana Jamie Jordan Kim Lee Morgan Pat Robin Sam Taylor"
LAST = "Brown Carter Cooper Evans Green Hill King Martin Parker Smith Turner Walker"
TOWNS = "Ashford Bridgeton Clayton Fairview Greenville Kingston Lakewood Milton Newport Oakland Riverside Springfield"
TITLES = ("A Quiet Year", "The Long Road", "Letters Home", "The Open Door", "A New Day", "The River")
MAIL = "contact@example.org"
_SOMEWHERE = re.compile(r"\b(?:in|at|from|near|to) $")


@dataclass(frozen=True, repr=False)
class Cut:
    """Characters `start` to `end` of a text, which became `first` to `last` of its translation."""

    start: int
    end: int
    first: int
    last: int
    anchor: str


@dataclass(frozen=True, repr=False)
class Translated:
    """A text with the counterparts of its anchors, and where these stand."""

    text: str
    cuts: tuple[Cut, ...] = ()

    def place(self, at: int) -> int:
        """Where a character outside all anchors went."""
        return at + sum((c.last - c.first) - (c.end - c.start) for c in self.cuts if c.end <= at)


def anchors(records: Sequence[Record], seed: int = 0) -> dict[str, str]:
    """Names, titles, dates, years, addresses and numbers of records, each with a common one of its kind.

    A part of a person's name has that part of the counterpart. Rules, no model: a peculiar word without a capital is
    not seen, and a common name is taken for a peculiar one.
    """
    found: dict[str, str] = {}
    for text in dict.fromkeys(t for r in records for t in (r.prompt, r.answer)):
        for value in values(text):
            for old, new in _pairs(value, text[: value.start], seed):
                found.setdefault(old, new)
    return {old: new for old, new in found.items() if old != new}


def translated(text: str, known: Mapping[str, str]) -> Translated:
    """A text in which each anchor that stands there as a whole word is its counterpart, the longest first."""
    if not known:
        return Translated(text)
    every = "|".join(re.escape(a) for a in sorted(known, key=lambda a: (-len(a), a)))
    made, cuts, done = "", list[Cut](), 0
    for match in re.finditer(rf"(?<!\w)(?:{every})(?!\w)", text):
        made += text[done : match.start()]
        cuts.append(Cut(*match.span(), len(made), len(made) + len(known[match[0]]), match[0]))
        made, done = made + known[match[0]], match.end()
    return Translated(made + text[done:], tuple(cuts))


def _pairs(value: Value, before: str, seed: int) -> Iterator[tuple[str, str]]:
    """A value and its counterpart; of a person's name its first and last word too."""
    text, draw = value.text, (seed, "anchors", value.text)
    if value.kind == "mail":
        yield text, MAIL
    elif value.kind == "title":
        yield text, TITLES[lot(*draw) % len(TITLES)]
    elif value.kind != "name":
        yield from ((text, new) for new in others(value, 1, *draw))
    elif text.split()[-1].casefold() in HEADS:
        yield text, f"{_drawn(TOWNS, *draw)} {text.split()[-1]}"
    elif _SOMEWHERE.search(before):
        yield text, _drawn(TOWNS, *draw)
    else:
        parts = text.split()
        first, last = _drawn(FIRST, seed, "first", parts[0]), _drawn(LAST, seed, "last", parts[-1])
        yield text, first if len(parts) == 1 else f"{first} {last}"
        if len(parts) > 1:
            yield from ((parts[0], first), (parts[-1], last))


def _drawn(names: str, *parts: object) -> str:
    every = names.split()
    return every[lot(*parts) % len(every)]
