"""Near-duplicates: pairs of texts whose word 3-grams have a Jaccard similarity of at least `near`.

An exact set-similarity join by prefix filtering (Chaudhuri, Ganti and Kaushik, "A primitive operator for
similarity joins in data cleaning", ICDE 2006; Bayardo, Ma and Srikant, "Scaling up all pairs similarity
search", WWW 2007). Sets x, y with |x ∩ y| >= near·|x ∪ y| share at least a = ceil(near·|x|) members, so two of
these (one, where a is 1) are among the |x| - a + 2 rarest members of x, in any one order of all members, and
likewise among those of y: only these are indexed and looked up. No pair is missed, and rows made from one
template, which share their frequent members only, are never compared.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from unteach.data.fold import grams

_EPSILON = 1e-9  # near·n is meant in decimals: 0.8 * 35 must not round up to 29


@dataclass(frozen=True)
class Index:
    """The texts to look for: their grams as ranks (0 is the rarest), and who has which rank in its prefix."""

    near: float
    ranks: dict[tuple[str, ...], int]
    sets: tuple[frozenset[int], ...]
    holders: dict[int, set[int]]


def index(texts: Iterable[str], near: float) -> Index:
    """An index over folded texts; its memory is that of these texts, not of those compared with them."""
    every = [grams(text) for text in texts]
    count = Counter(gram for found in every for gram in found)
    ranks = {gram: rank for rank, gram in enumerate(sorted(count, key=lambda gram: (count[gram], gram)))}
    sets = tuple(frozenset(ranks[gram] for gram in found) for found in every)
    holders: dict[int, set[int]] = {}
    for number, found in enumerate(sets):
        for rank in sorted(found)[: prefix(len(found), near)]:
            holders.setdefault(rank, set()).add(number)
    return Index(near, ranks, sets, holders)


def first_near(found: Index, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """For each indexed text that has a near one among `texts`, its number and that of the first such text."""
    done: set[int] = set()
    for number, text in enumerate(texts):
        if len(done) == len(found.sets):
            return
        for candidate, _ in sorted(_near(found, text, done)):
            done.add(candidate)
            yield candidate, number


def near_to(found: Index, text: str) -> list[tuple[int, float]]:
    """The indexed texts that are near one text, in their order, each with its similarity."""
    return sorted(_near(found, text, set()))


def _near(found: Index, text: str, done: set[int]) -> Iterator[tuple[int, float]]:
    every = grams(text)
    known = frozenset(found.ranks[gram] for gram in every if gram in found.ranks)
    # Grams nobody has are the rarest of all: they fill the prefix first.
    length = prefix(len(every), found.near) - (len(every) - len(known))
    once: set[int] = set()
    twice: set[int] = set()
    for rank in sorted(known)[: max(0, length)]:
        holders = found.holders.get(rank, set())
        twice |= once & holders
        once |= holders
    candidates = twice if least(len(every), found.near) > 1 else once
    for candidate in candidates - done:
        other = found.sets[candidate]
        shared = len(other & known)
        union = len(other) + len(every) - shared
        if shared >= found.near * union - _EPSILON:
            yield candidate, shared / union


def least(size: int, near: float) -> int:
    """How many members a set of this size shares with any set near it, at least."""
    return ceil(near * size - _EPSILON)


def prefix(size: int, near: float) -> int:
    """How many of its rarest members are looked up."""
    return size - least(size, near) + 2


def enough(some: frozenset[int], others: frozenset[int], near: float) -> bool:
    """Whether the Jaccard similarity of two sets is `near` or more."""
    shared = len(some & others)
    return shared >= near * (len(some) + len(others) - shared) - _EPSILON
