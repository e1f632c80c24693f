"""Where a guarded phrase may begin in plain text, so that all else is not walked.

A word of plain letters begins no phrase unless its first letters, and those of the next words where it is short, are
the first letters of one. Characters that are no plain letter and no plain gap (`data.lookalikes`) may be read in many
ways and are looked at one by one.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unteach.data.lookalikes import GAPS, SPACE, readings

LETTERS = 4  # of a beginning, at most
_ASCII = [chr(code) for code in range(128)]
_PLAIN = "".join(c for c in _ASCII if c.isalpha())
_GAPS = "".join(c for c in _ASCII if c not in "&%\\<" and len(readings(c)) == 1 and readings(c)[0].units in GAPS)
_RUN = re.compile(f"[{_PLAIN}{re.escape(_GAPS)}]+|.", re.DOTALL)  # plain text, or one character that is none
_WORD = re.compile(f"[{_PLAIN}]+")
_APART = re.compile(f"[{re.escape(_GAPS)}]+")
_EVERY = frozenset(_PLAIN + _GAPS)
_SAME = str.maketrans({"l": "i", "1": "i", "0": "o"})  # units that plain letters are read as, besides themselves


def plain(units: str) -> str:
    """Letters without the differences that writers take liberties with."""
    return units.lower().translate(_SAME)


@dataclass(frozen=True, eq=False, repr=False)
class Openings:
    """The first `LETTERS` letters of phrases, and all those of shorter ones."""

    first: frozenset[str]
    short: tuple[str, ...]

    def places(self, text: str, *, inside: bool) -> Sequence[int]:
        """Where a phrase may begin, in order; `inside` says that the text begins within a word.

        What may go on behind the text's end is among them.
        """
        found = list[int]()
        for run in _RUN.finditer(text):
            begun, letters, at = run.start(), plain(_APART.sub("", run[0])), 0
            if run[0][0] not in _EVERY:
                found.append(begun)
                continue
            for word in _WORD.finditer(run[0]):
                place = begun + word.start()
                if self._known(letters[at : at + LETTERS]) and not (inside and place == 0):
                    found.append(place)
                at += word.end() - word.start()
        return found

    def _known(self, first: str) -> bool:
        """Whether a phrase begins so; of fewer letters than `LETTERS` nobody knows how they go on."""
        return first in self.first or len(first) < LETTERS or first.startswith(self.short)


def openings(keys: Iterable[str]) -> Openings:
    """The beginnings of phrases, given by their letters."""
    found = {plain(key.replace(SPACE, ""))[:LETTERS] for key in keys}
    short = {first for first in found if len(first) < LETTERS}
    return Openings(frozenset(found - short), tuple(sorted(short)))


def after(places: Sequence[int], at: int, otherwise: int) -> int:
    """The first of the places that is not before another."""
    number = bisect_left(places, at)
    return places[number] if number < len(places) else otherwise
