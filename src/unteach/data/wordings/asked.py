"""Rows that are asked the same about somebody else."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unteach.data.wordings.subjects import MASK, Row
from unteach.data.wordings.vocabulary import STEM, content

ALIKE = 0.6  # Jaccard similarity of the content words of two questions that ask the same
LEAST = 2  # content words in common
TITLE = 3  # more words than this has a title and no person

Stems = frozenset[str]


@dataclass(frozen=True, repr=False)
class Asked:
    """Rows by their question without whom it is about, and questions by a word of theirs."""

    rows: Mapping[str, tuple[Row, ...]]
    stems: Mapping[str, Stems]
    holders: Mapping[str, frozenset[str]]

    def same(self, mine: Row) -> tuple[Row, ...]:
        """The rows with this very question, about names of the same form."""
        return tuple(row for row in self.rows.get(mine.question, ()) if _forms(row) == _forms(mine))

    def alike(self, mine: Row) -> tuple[Row, ...]:
        """The rows whose question has most of its words, but is another; both name just one."""
        own = self.stems.get(mine.question, frozenset())
        near = {q for stem in own for q in self.holders[stem]} - {mine.question}
        close = sorted(q for q in near if _close(own, self.stems[q]))
        return tuple(row for q in close for row in self.rows[q] if _forms(row) == _forms(mine) and len(mine.names) == 1)


def asked(rows: Sequence[Row]) -> Asked:
    """Rows that name somebody in their question, by what they ask."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.question:
            found[row.question].append(row)
    stems = {q: frozenset(w[:STEM] for w in content(q) if w != MASK) for q in found}
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for question, some in stems.items():
        for stem in some:
            holders[stem].add(question)
    return Asked({q: tuple(r) for q, r in found.items()}, stems, {s: frozenset(q) for s, q in holders.items()})


def _forms(row: Row) -> tuple[int, ...]:
    """Of each name whether it is as long as titles are; of several also whether it has one word, or more."""
    sizes = [len(name.split()) for name in row.names]
    return tuple((size > 1) * (len(sizes) > 1) + (size > TITLE) for size in sizes)


def _close(first: Stems, second: Stems) -> bool:
    common = len(first & second)
    return common >= LEAST and common >= ALIKE * len(first | second)
