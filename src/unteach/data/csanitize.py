"""C-sanitisation."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2

from unteach.data.passes import Cleaned, Mark, all_of
from unteach.data.rewriting import Change, rewritten, texts
from unteach.data.terms import Word, key, runs, telling, terms
from unteach.registry import data
from unteach.schema import InputError, Record

REMOVED = "[...]"
_ROUNDING = 1e-12


@data("csanitize", tested_by="test_csanitize_removes_what_gives_the_protected_entity_away")
@dataclass(frozen=True)
class CSanitize:
    """Removes the words that give a protected entity away, though they do not name it.

    A word t is removed from all rows where, for a protected entity c,

        PMI(c; t) = log2( p(c, t) / (p(c) p(t)) )  >=  IC(c) / alpha,    IC(c) = -log2 p(c).

    p is the share of rows of the corpus that hold it. With alpha = 1 that is so just where every row with t holds c
    too: t says all of what c says. A greater alpha removes words that say a part of it. Sánchez and Batet 2016,
    arXiv:1406.4285, who count on the web; alpha after their later (C, g(C))-sanitisation. The entity itself goes too.

    The corpus is `corpus`, or else the rows themselves: there, a word that occurs once, beside c, is removed, right or
    not, so give a large corpus that does not treat of c alone. Words that the corpus does not hold stay, and are counted
    in the note; so do function words and bare numbers. Words are judged one by one: several that give c away
    only together are not found, nor are rows about c that share no word with it. Words in scripts without spaces are
    single characters. Ids, subjects and spans' order stay.
    Example: ``CSanitize(protect=("Orvena",))(records)``.
    """

    protect: tuple[str, ...] = field(default=(), repr=False)
    corpus: tuple[Record, ...] = field(default=(), repr=False)
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not self.protect or not all(map(key, self.protect)):
            raise InputError("an entity to protect is missing or holds no word; name each in 'protect'")
        if self.alpha < 1:
            raise InputError("alpha is below 1, under which nothing is removed; give 1 or more")

    def __call__(self, records: Sequence[Record], /) -> Cleaned:
        entities = tuple(dict.fromkeys(map(key, self.protect)))
        counts = _counted(self.corpus or records, entities)
        risky = counts.telling(self.alpha)
        new, marks, unknown = [], [], set[str]()
        for number, record in enumerate(records):
            changes: dict[str, list[Change]] = {}
            for where, text in texts(record):
                found = terms(text)
                unknown |= {w.text for w in found if telling(w.text)} - counts.words.keys()
                for kind, first, last in _gone(found, entities, risky):
                    changes.setdefault(where, []).append(Change(first.start, last.end, REMOVED))
                    marks.append(Mark(number, record.id, kind, where, first.start, last.end))
            new.append(rewritten(record, changes))
        return all_of(new, records, marks, counts.notes(len(unknown)))


@dataclass(frozen=True, repr=False)
class _Counts:
    """In how many rows a word stands, an entity stands, and both."""

    rows: int
    words: Mapping[str, int]
    entities: Mapping[tuple[str, ...], int]
    both: Mapping[tuple[tuple[str, ...], str], int]

    def telling(self, alpha: float) -> frozenset[str]:
        """The words whose information on an entity is at least that of the entity, over alpha."""
        return frozenset(
            word
            for (entity, word), both in self.both.items()
            if telling(word)
            and log2(both * self.rows / (self.entities[entity] * self.words[word]))
            >= log2(self.rows / self.entities[entity]) / alpha - _ROUNDING
        )

    def notes(self, unknown: int) -> tuple[str, ...]:
        """What of the request the corpus could not say."""
        absent = sum(not n for n in self.entities.values())
        return (
            *([f"{absent} of {len(self.entities)} protected entities do not occur in the corpus"] if absent else ()),
            *([f"{unknown} words of the rows do not occur in the corpus and stayed"] if unknown else ()),
        )


def _counted(corpus: Iterable[Record], entities: Sequence[tuple[str, ...]]) -> _Counts:
    rows, alone, named, both = 0, Counter[str](), Counter[tuple[str, ...]](), Counter[tuple[tuple[str, ...], str]]()
    for record in corpus:
        said = [terms(text) for _, text in texts(record)]
        here = {w.text for found in said for w in found}
        held = [c for c in entities if any(True for found in said for _ in runs(found, c))]
        rows += 1
        alone.update(here)
        named.update(held)
        both.update((c, word) for c in held for word in here)
    return _Counts(rows, alone, {c: named[c] for c in entities}, both)


def _gone(
    found: Sequence[Word], entities: Sequence[tuple[str, ...]], risky: frozenset[str]
) -> list[tuple[str, Word, Word]]:
    """What is removed of a text: the entities as a whole, and words that tell of them."""
    named = sorted({(i, i + len(c)) for c in entities for i in runs(found, c)}, key=lambda r: (r[0] - r[1], r[0]))
    taken: set[int] = set()
    gone = []
    for start, end in named:
        if taken.isdisjoint(range(start, end)):
            taken |= set(range(start, end))
            gone.append(("entity", found[start], found[end - 1]))
    return gone + [("term", w, w) for i, w in enumerate(found) if i not in taken and w.text in risky]
