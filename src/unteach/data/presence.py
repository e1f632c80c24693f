"""Where a person stands in a training set: copies, near copies, rows by name, and rows that say the same otherwise."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

from unteach.data.corpus import Corpus, said, spoken, stems
from unteach.data.fold import fold, tokens
from unteach.data.near import index, near_to
from unteach.data.wordings.values import values
from unteach.schema import InputError, Record

Kind = Literal["exact", "near", "paraphrase", "named"]
COMMON = 20  # a word that more than one row in so many holds tells nothing
# What a row must share with one known row, times log N: where it has the name, a part of it, and where it names nobody.
NAMED, PART, NOBODY = 0.45, 0.25, 0.8
_TITLES = frozenset(["mr", "mrs", "ms", "miss", "dr", "prof", "professor", "sir", "madam", "lady", "lord"])
_POSSESSIVE = re.compile(r"['’]s?$")


@dataclass(frozen=True)
class Hit:
    """One row of the person: its number from 0, why it was found, and how alike it is to the row `of`, 0 to 1."""

    row: int
    kind: Kind
    score: float
    of: str = ""


@dataclass(frozen=True, repr=False)
class _Known:
    """What is known of a person: the names, rows by the words of them that tell something, and all their words."""

    names: tuple[tuple[str, ...], ...]
    rows: tuple[Record, ...]
    words: tuple[frozenset[str], ...]
    every: frozenset[str]

    @property
    def parts(self) -> frozenset[str]:
        return frozenset(word for name in self.names for word in name)


def trace(found: Corpus, names: Sequence[str], rows: Sequence[Record] = (), *, near: float = 0.8) -> tuple[Hit, ...]:
    """The rows of a training set that tell of a person, in its order, each under the first kind that fits.

    `exact`: a known row but for case, spacing and punctuation. `near`: word 3-grams with a Jaccard similarity of
    `near` or more to one. `paraphrase`: says what a known row says, in other words: it shares words that weigh enough by
    their inverse document frequency, and where the full name is missing, words that together stand for the most part in
    rows that are surely the person's. `named`: names the person and says something else. Without `rows` the known ones are those that name the person.
    """
    called = tuple(tuple(tokens(fold(name))) for name in names if any(map(str.isalnum, name)))
    if not called:
        raise InputError("a person is looked for by name; give one that holds a letter or a digit")
    by_name = _named(found, called)
    known = _known(found, called, rows or [found.records[i] for i in sorted(by_name)])
    if not known.rows:
        return ()
    hits = dict(_copies(found, rows, near)) if rows else {}
    for row in by_name - hits.keys():
        alike = bool(rows) and _shared(found, known, row)[1] >= NAMED * log(len(found.texts))
        hits[row] = _hit(found, known, row, "paraphrase" if alike else "named")
    sure = frozenset(hits)
    for row in _candidates(found, known) - sure:
        if _restates(found, known, row, sure):
            hits[row] = _hit(found, known, row, "paraphrase")
    return tuple(hits[row] for row in sorted(hits))


def _known(found: Corpus, names: tuple[tuple[str, ...], ...], rows: Sequence[Record]) -> _Known:
    own = frozenset(word for name in names for word in stems(" ".join(name)))
    words = tuple(stems(said(row)) - own for row in rows)
    telling = tuple(frozenset(word for word in every if _telling(found, [word])) for every in words)
    return _Known(names, tuple(rows), telling, own.union(*words))


def _named(found: Corpus, names: tuple[tuple[str, ...], ...]) -> set[int]:
    """The rows that hold a whole name, the last part in front or not, or are marked as the person's."""
    whole = {" ".join(name) for name in names}
    forms = whole | {" ".join((name[-1], *name[:-1])) for name in names}
    among = set().union(*(found.having(stems(form)) for form in forms))
    spaced = ((i, f" {' '.join(tokens(found.texts[i]))} ") for i in among)
    marked = {i for i, r in enumerate(found.records) if r.subject and fold(r.subject) in whole}
    return marked | {i for i, text in spaced if any(f" {form} " in text for form in forms)}


def _copies(found: Corpus, rows: Sequence[Record], near: float) -> Iterator[tuple[int, Hit]]:
    """Only rows that hold a gram which the join would look up can be near; the join itself decides."""
    texts = {said(row): row.id for row in reversed(rows)}
    ids, known = list(texts.values()), index(texts, near)
    grams = (gram for gram, rank in known.ranks.items() if rank in known.holders)
    for row in sorted(set().union(*(found.having(stems(" ".join(gram))) for gram in grams))):
        text = found.texts[row]
        if text in texts:
            yield row, Hit(row, "exact", 1.0, texts[text])
        elif close := near_to(known, text):
            number, score = max(close, key=lambda pair: pair[1])
            yield row, Hit(row, "near", score, ids[number])


def _candidates(found: Corpus, known: _Known) -> set[int]:
    """Rows with a part of the name, and rows that share enough with one known row."""
    wanted: set[int] = set().union(*(found.holders.get(word, ()) for word in stems(" ".join(known.parts))))
    for words in known.words:
        weights: dict[int, float] = {}
        for word in words:
            telling = _telling(found, [word])
            for row in found.holders.get(word, ()):
                weights[row] = weights.get(row, 0.0) + telling
        wanted.update(row for row, weight in weights.items() if weight >= NOBODY * log(len(found.texts)))
    return wanted


def _restates(found: Corpus, known: _Known, row: int, sure: frozenset[int]) -> bool:
    """Whether a row that names nobody else says what a known row does, and what is said of this person above all.

    Words are weighed together: of the other rows that hold all those that it shares with the known row, more than
    half must be surely the person's. Less must be shared where a part of the name is there.
    """
    words, scale = stems(found.texts[row]), log(len(found.texts))
    shared = [words & own for own in known.words]
    weights = [_telling(found, some) for some in shared if _theirs(found, some, row, sure, PART * scale)]
    if not weights:
        return False
    part, other = _whom(found.records[row], known)
    return not other and (part or max(weights) >= NOBODY * scale)


def _theirs(found: Corpus, words: frozenset[str], row: int, sure: frozenset[int], least: float) -> bool:
    """Whether words weigh enough, and more than half of the other rows that hold them all are surely the person's."""
    if _telling(found, words) < least:
        return False
    same = found.having(words) - {row}
    return 2 * len(same & sure) > len(same)


def _shared(found: Corpus, known: _Known, row: int) -> tuple[int, float]:
    """The known row that a row shares most with, the name apart, and what that weighs."""
    words = stems(found.texts[row])
    weights = [_telling(found, words & own) for own in known.words]
    most = max(range(len(weights)), key=weights.__getitem__)
    return most, weights[most]


def _telling(found: Corpus, words: Iterable[str]) -> float:
    return sum(max(0.0, found.rarity(word) - log(COMMON)) for word in words)


def _whom(record: Record, known: _Known) -> tuple[bool, bool]:
    """Whether a row calls the person by a part of the name, and whether it names another."""
    part = other = False
    for value in values(spoken(record), known.parts):
        words = frozenset(tokens(fold(_POSSESSIVE.sub("", value.text)))) - _TITLES
        if value.kind != "name" or not words:
            continue
        if words & known.parts:
            part, other = part or words <= known.parts, other or not words <= known.parts
        elif len(words) > 1:
            other = other or not stems(" ".join(words)) <= known.every
    return part, other


def _hit(found: Corpus, known: _Known, row: int, kind: Kind) -> Hit:
    """Its score is the share of what is telling in the row, names included, that the closest known row has too."""
    words, (most, _) = stems(found.texts[row]), _shared(found, known, row)
    whole = _telling(found, words)
    held = _telling(found, words & (known.words[most] | stems(" ".join(known.parts))))
    return Hit(row, kind, held / whole if whole else 1.0, known.rows[most].id)
