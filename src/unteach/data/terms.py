"""The words of a text of any script, with their places."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby

from unteach.data.shadow import TAKEN, bare, shadow
from unteach.data.wordings.vocabulary import FUNCTION

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)
_ASCII = re.compile("[0-9A-Za-z]+")


@dataclass(frozen=True)
class Word:
    """A word as it is compared, and the characters that it stands for."""

    text: str = field(repr=False)
    start: int
    end: int


def words(folded: str) -> list[Word]:
    """Runs of letters, digits and marks; characters of scripts without spaces one by one."""
    if folded.isascii():
        return [Word(m[0], *m.span()) for m in _ASCII.finditer(folded)]
    found: list[Word] = []
    place = 0
    for kind, run in groupby(folded, _class):
        length = len(list(run))
        if kind == 2:
            found += [Word(folded[i], i, i + 1) for i in range(place, place + length)]
        elif kind == 1:
            found.append(Word(folded[place : place + length], place, place + length))
        place += length
    return found


@cache
def _class(character: str) -> int:
    if character == TAKEN:
        return 0
    if _UNSPACED.match(character):
        return 2
    return int(character.isalnum() or unicodedata.category(character)[0] == "M")


def terms(text: str) -> list[Word]:
    """The words of a text without case and accents, in the places of the text itself."""
    seen = shadow(text, (), bare)
    return [Word(w.text, *seen.back(w.start, w.end)) for w in words(seen.text)]


def telling(word: str) -> bool:
    """Whether a word is more than a function word or a number."""
    return word not in FUNCTION and not word.isdecimal()


def key(phrase: str) -> tuple[str, ...]:
    """The words that all spellings of a phrase share."""
    return tuple(w.text for w in terms(phrase))


def runs(found: Sequence[Word], phrase: tuple[str, ...]) -> Iterator[int]:
    """Where a phrase begins among words."""
    size = len(phrase)
    yield from (i for i in range(len(found) - size + 1) if tuple(w.text for w in found[i : i + size]) == phrase)
