"""Names of people from a list, as they are written: without regard to case, accents and order."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from unteach.data.personal.piece import Piece
from unteach.data.terms import Word, words
from unteach.data.terms import key as spelling

_BETWEEN = re.compile(r"[ .,·・'’-]{0,3}")  # the words of a name
PARTICLES = "de da do dos das di du del della la le van von der den ten ter zu bin ibn al el abu ben of the and"
_LEAST = 3  # letters of a part that stands for the whole name; characters of scripts without spaces never do


@dataclass(frozen=True, repr=False)
class Names:
    """The spellings of all names by their first word, each with the key that all spellings of a name share."""

    spelt: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]]
    keys: frozenset[str]

    def __call__(self, text: str, parts: Mapping[str, str]) -> Iterator[Piece]:
        """Names in a text folded by `bare`; `parts` are words that stand for a name by themselves, with its key."""
        found = words(text) if self.spelt else []
        for i, word in enumerate(found):
            for spelt, whole in self.spelt.get(word.text, ()):
                run = found[i : i + len(spelt)]
                if tuple(w.text for w in run) == spelt and _one(text, run):
                    yield Piece("PERSON", word.start, run[-1].end, whole)
            if word.text in parts:
                yield Piece("PERSON", word.start, word.end, parts[word.text])


def _one(text: str, run: Sequence[Word]) -> bool:
    """Whether nothing but spaces and a little punctuation stands between words."""
    return all(_BETWEEN.fullmatch(text, a.end, b.start) for a, b in pairwise(run))


def key(name: str) -> str:
    """What all spellings of a name share."""
    return " ".join(spelling(name))


def named(names: Iterable[str]) -> Names:
    """The names of a list, with the family name last or first; what holds no letter is no name."""
    spelt: dict[str, dict[tuple[str, ...], str]] = {}
    for whole in dict.fromkeys(map(key, names)):
        for *before, last in [whole.split()] if whole else []:
            for order in ((*before, last), (last, *before)):
                spelt.setdefault(order[0], {}).setdefault(order, whole)
    keys = frozenset(whole for found in spelt.values() for whole in found.values())
    return Names({first: tuple(found.items()) for first, found in spelt.items()}, keys)


def parts_of(keys: Collection[str]) -> dict[str, str]:
    """The words that stand for one of these names by themselves; of two names that share one, the first has it."""
    found: dict[str, str] = {}
    for whole in keys:
        for part in whole.split():
            if " " in whole and len(part) >= _LEAST and part not in PARTICLES.split() and not part.isdecimal():
                found.setdefault(part, whole)
    return found
