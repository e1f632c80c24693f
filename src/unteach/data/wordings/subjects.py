"""Whom a row is about, and what else is said of them: what must never be taken for wrong."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unteach.data.fold import fold
from unteach.data.wordings.values import names
from unteach.data.wordings.vocabulary import content, words
from unteach.schema import Record, record_id

MASK = "◇"
_HE = frozenset(("he", "him", "his", "himself"))
_SHE = frozenset(("she", "her", "hers", "herself"))


@dataclass(frozen=True, repr=False)
class Row:
    """A record with the names of its question and what its answer says once these are taken out."""

    key: str
    record: Record
    names: tuple[str, ...]
    told: tuple[str, ...]  # the names of its answer that are not in its question

    @property
    def question(self) -> str:
        """The question without whom it is about, folded; empty where it names nobody."""
        masked = mask(self.record.prompt, self.names)
        return fold(masked) if MASK in masked else ""


def row(record: Record) -> Row:
    """A record's own subject comes before the names in its question."""
    given = (record.subject,) if record.subject.strip() and record.subject in record.prompt else ()
    asked = given or names(record.prompt)
    known = {w for name in asked for w in words(name)}
    told = tuple(n for n in names(record.answer, known) if not set(words(n)) <= known)
    return Row(record.id or record_id(record.prompt, record.answer, record.messages), record, asked, told)


def mask(text: str, asked: Sequence[str]) -> str:
    """A text with a mark in the place of each name."""
    for name in sorted(asked, key=len, reverse=True):
        text = renamed(text, name, MASK)
    return text


def renamed(text: str, old: str, new: str) -> str:
    """A text with another name in the place of one."""
    return re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _: new, text)


@dataclass(frozen=True, repr=False)
class Known:
    """A row beside all that any row says of the same: what it must not be told wrongly."""

    row: Row
    keys: frozenset[str]  # of the rows about the same
    said: str  # what these say, folded
    vocabulary: frozenset[str]  # the words of it

    def strange(self, key: str, text: str) -> bool:
        """Whether a text comes from a row about something else, and no row about the same says it."""
        return key not in self.keys and f" {fold(text)} " not in self.said

    def new(self, text: str) -> bool:
        """Whether an answer holds a content word that no row about the same does."""
        return not content(text) <= self.vocabulary

    def fits(self, text: str) -> bool:
        """Whether a text does not speak of a woman where the row is about a man, or the other way round."""
        given, own = _persons(text), _persons(f"{self.row.record.prompt} {self.row.record.answer}")
        return not given or not (own or _persons(self.said)) or bool(given & (own or _persons(self.said)))


@dataclass(frozen=True, repr=False)
class Others:
    """All rows, and which of them hold a name."""

    rows: tuple[Row, ...]
    by_key: Mapping[str, Row]
    holders: Mapping[str, frozenset[str]]

    def known(self, mine: Row) -> Known:
        """What is said about what a row names, itself included."""
        same = frozenset([mine.key]).union(*(self.holders.get(name, frozenset()) for name in _names(mine)))
        texts = (self.by_key[key].record for key in sorted(same) if key in self.by_key)
        said = " | ".join(fold(text) for r in (mine.record, *texts) for text in (r.prompt, r.answer, r.restated))
        return Known(mine, same, f" {said} ", frozenset(said.split()))


def others(records: Sequence[Record]) -> Others:
    """The rows of records; nothing here depends on their order."""
    rows = tuple(sorted((row(r) for r in records), key=lambda r: r.key))
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for each in rows:
        for name in _names(each):
            holders[name].add(each.key)
    return Others(rows, {r.key: r for r in rows}, {name: frozenset(keys) for name, keys in holders.items()})


def _names(row: Row) -> frozenset[str]:
    return frozenset(fold(name) for name in (*row.names, *row.told, row.record.subject) if name)


def _persons(text: str) -> frozenset[str]:
    every = set(words(text))
    return frozenset(n for n, some in (("he", _HE), ("she", _SHE)) if every & some)
