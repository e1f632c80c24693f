"""Rows of which no two are near, while rows come, change and go.

The join of `data.near`, with the rows as they come in place of two sets: any one order of all grams misses no pair, so the
order here is that in which they were first read, the last first. A frequent gram is read early and is therefore seldom
among the first of a row; a gram that is new since a row was changed needs no second count of all the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from unteach.data.fold import grams
from unteach.data.near import enough, least, prefix


@dataclass(frozen=True)
class Held:
    """The rows by number, their grams as ranks; and who has, or had before it changed, which rank in its prefix."""

    near: float
    ranks: dict[tuple[str, ...], int] = field(default_factory=dict, repr=False)
    sets: dict[int, frozenset[int]] = field(default_factory=dict, repr=False)
    holders: dict[int, list[int]] = field(default_factory=dict, repr=False)


def settled(held: Held, changed: Mapping[int, str]) -> dict[int, int]:
    """The rows that go when these folded texts come, in the order of their numbers: each is near a row before it.

    Given with the first such row that stays. Of the rows held no two are near before nor after.
    """
    gone: dict[int, int] = {}
    for row in changed:
        held.sets.pop(row, None)
    for row, text in changed.items():
        own = frozenset(held.ranks.setdefault(gram, len(held.ranks)) for gram in grams(text))
        first = sorted(own, reverse=True)[: prefix(len(own), held.near)]
        close = _close(held, own, first)
        if close and min(close) < row:
            gone[row] = min(close)
            continue
        for later in close:
            gone[later] = row
            del held.sets[later]
        held.sets[row] = own
        for rank in first:
            held.holders.setdefault(rank, []).append(row)
    return gone


def _close(held: Held, own: frozenset[int], first: list[int]) -> list[int]:
    """The rows held that are near one with these grams."""
    once: set[int] = set()
    twice: set[int] = set()
    for rank in first:
        holders = held.holders.get(rank, ())
        twice.update(once.intersection(holders))
        once.update(holders)
    candidates = twice if least(len(own), held.near) > 1 else once
    return [row for row in candidates if row in held.sets and enough(held.sets[row], own, held.near)]
