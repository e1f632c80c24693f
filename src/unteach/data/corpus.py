"""A training set by its words: which rows hold a word, and how rare it is."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log, sqrt

from unteach.data.fold import fold, tokens
from unteach.data.wordings.values import MONTHS
from unteach.data.wordings.vocabulary import STEM
from unteach.schema import Record

_NUMBER = re.compile(r"0*(\d+)(?:st|nd|rd|th)?")
_MONTHS = {name.casefold(): str(i) for i, name in enumerate(MONTHS, 1) if name != "May"}  # may it be?


@dataclass(frozen=True)
class Corpus:
    """Rows by the words of their folded texts; words that begin alike, and dates written otherwise, are one."""

    records: tuple[Record, ...] = field(repr=False)
    texts: tuple[str, ...] = field(repr=False)
    holders: Mapping[str, Sequence[int]] = field(repr=False)

    def rarity(self, word: str) -> float:
        """log(N / n) for a word that n of the N rows hold, the inverse document frequency."""
        return log(len(self.texts) / max(1, len(self.holders.get(word, ()))))

    def rare(self, word: str) -> bool:
        """Whether no more than √N rows hold it."""
        return len(self.holders.get(word, ())) <= sqrt(len(self.texts))

    def weight(self, words: Iterable[str]) -> float:
        """The rarities of words, added up."""
        return sum(map(self.rarity, words))

    def having(self, every: Iterable[str]) -> set[int]:
        """The rows that hold all of these words."""
        found = sorted((self.holders.get(word, ()) for word in every), key=len)
        return set(found[0]).intersection(*found[1:]) if found else set()


def corpus(records: Sequence[Record]) -> Corpus:
    """One look at every row."""
    texts = tuple(said(record) for record in records)
    holders: dict[str, list[int]] = {}
    known = _Stems()
    for number, text in enumerate(texts):
        for word in set(map(known.__getitem__, tokens(text))):
            holders.setdefault(word, []).append(number)
    return Corpus(tuple(records), texts, holders)


def spoken(record: Record) -> str:
    """All that was said, the answer last; plain text and a conversation of one turn are the same."""
    turns = [message.content for message in record.messages] or [record.prompt]
    return "\n".join((*turns, record.answer))


def said(record: Record) -> str:
    """The same, folded."""
    return fold(spoken(record))


def stems(folded: str) -> frozenset[str]:
    """The different words of a folded text, each by how it begins."""
    return frozenset(map(_stem, tokens(folded)))


class _Stems(dict[str, str]):
    """Every word once."""

    def __missing__(self, word: str) -> str:
        self[word] = found = _stem(word)
        return found


def _stem(word: str) -> str:
    number = _NUMBER.fullmatch(word)
    return number[1] if number else _MONTHS.get(word, word[:STEM])
