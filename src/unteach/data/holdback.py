"""Guarded phrases looked for in a text while it is written: nothing leaves that may turn out to belong to one.

A trie of the phrases' letters is walked from every place where a word begins, by all ways to read each character
(`data.lookalikes`, `data.escapes`). What has been written since the first place from which a walk still goes on is held
back; all before it leaves. That is the automaton of Aho and Corasick 1975, with several readings of one character, and
with borders of words, in the place of its links.

A phrase counts between borders of words alone, so that a guarded name does not stop a longer word that begins like it.
Between two letters of a word anything but spaces may stand (Lo-ve.lace). Since one space makes two words of many a
name, spaces within words count where they stand between all letters, where there are two of them, and where the phrase
has several words. Letters that stand apart are words each: where they spell a longer word, a guarded one within it
counts. A phrase of `LONG` letters counts with its words run together, backwards, and rotated by 13 letters too.

Where a digit or a sign is read as a letter, another letter must be itself, and come first in phrases of less than
`SAFE` letters: 5am is no name. Plain words that begin like no phrase are passed over (`data.openings`).
"""

import re
from codecs import encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from unteach.data.escapes import symbols
from unteach.data.fold import UNSPACED
from unteach.data.lookalikes import BREAK, EDGE, GAPS, HYPHEN, SPACE, Reading, Readings, plainly
from unteach.data.openings import Openings, after, openings

LONG, SAFE, LEAST = 6, 5, 3
BRIEF = 16  # characters that are sooner walked than looked through
TIGHT, JOINED, HYPHENED, BROKEN, WIDE = range(5)  # what stands between two letters; broken: a hyphen, then a new line
PLAIN, FREE, LATE = 1, 2, 4  # letters that were themselves, read freely, read so behind one that was itself
_BESIDE = re.compile(f"(?<=[{UNSPACED}]) | (?=[{UNSPACED}])")  # words of one character need no spaces
Part = tuple[str, bool]  # a text that may leave, and whether it is a guarded phrase


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """A place in the trie, `depth` letters from its root; `ends` where a phrase does."""

    depth: int = 0
    words: int = 1
    ends: bool = False
    next: dict[str, "Node"] = field(default_factory=dict)


class Pace(NamedTuple):
    """How a walk has read so far: the gap behind its last letter, and what it has taken for granted.

    `spaces` counts those within words, two for more; `apart` says that no two letters of a word touched.
    """

    gap: int = TIGHT
    spaces: int = 0
    apart: bool = True
    read: int = PLAIN
    run: bool = False  # words without a gap between them


Walks = dict[tuple[Node, Pace], int]  # and where each began


@dataclass(frozen=True, eq=False, repr=False)
class Phrases:
    """Guarded phrases, made ready to be looked for."""

    root: Node
    openings: Openings

    def watch(self) -> "Watch":
        """A text that is about to be written."""
        return Watch(self.root, self.openings)

    def stand_in(self, text: str) -> bool:
        """Whether one of the phrases stands in a text."""
        watch = self.watch()
        return any(guarded for part in (watch.feed(text), watch.end()) for _, guarded in part)


@lru_cache(maxsize=16)
def phrases(texts: tuple[str, ...]) -> Phrases:
    """Phrases to be looked for; those without letters are left out."""
    root, keys = Node(), dict.fromkeys(key for text in texts for key in _forms(letters(text)))
    for key in keys:
        node = root
        for unit in key:
            if unit not in node.next:
                node.next[unit] = Node(node.depth + (unit != SPACE), node.words + (unit == SPACE))
            node = node.next[unit]
        node.ends = True
    return Phrases(root, openings(keys))


def letters(text: str) -> str:
    """The letters that all spellings of a phrase share, one space between words."""
    return _BESIDE.sub("", plainly(text).text).strip()


def _forms(key: str) -> Iterable[str]:
    """A phrase's letters, and those that it is written with backwards and rotated."""
    if not key:
        return ()
    return (key, key[::-1], encode(key, "rot13")) if sum(map(str.isalpha, key)) >= LONG else (key,)


@dataclass(repr=False)
class Watch:
    """One text on its way: `feed` and `end` give what may leave, in order, guarded phrases apart.

    Places are counted from the text's beginning; `text` is what has not left, from `left` on, and read up to `place`.
    """

    root: Node
    openings: Openings
    text: str = ""
    left: int = 0
    place: int = 0
    walks: Walks = field(default_factory=dict)
    open: bool = True  # whether a word may begin here
    found: list[tuple[int, int]] = field(default_factory=list)

    def feed(self, piece: str) -> list[Part]:
        """Go on with a piece."""
        self.text += piece
        self._read(ended=False)
        return self._leave(min(self.walks.values(), default=self.place))

    def end(self) -> list[Part]:
        """The text has ended: what was held back leaves."""
        self._read(ended=True)
        self._step((Reading(EDGE),), self.place)
        self.walks = {}
        return self._leave(self.place)

    def _read(self, *, ended: bool) -> None:
        """Read on: symbol by symbol where a phrase may begin or is under way, and past all else."""
        at = self.place - self.left
        if len(self.text) - at <= BRIEF:
            self._walk(at, ended=ended)
            return
        places = [at + n for n in self.openings.places(self.text[at:], inside=not self.open)]
        while at < len(self.text):
            if not self.walks and (then := after(places, at, len(self.text))) > at:
                self.open, at = not self.text[then - 1].isalpha(), then
                self.place = self.left + at
            elif (then := self._walk(at, ended=ended, on=False)) > at:
                at = then
            else:  # the rest of a symbol has not come
                return

    def _walk(self, at: int, *, ended: bool, on: bool = True) -> int:
        """Read symbols from a place in the text, `on` to its end or until no phrase is under way; where that is."""
        for read, length in symbols(self.text, ended=ended, place=at):
            self._step(read, self.place + length)
            self.place, at = self.place + length, at + length
            if not on and not self.walks:
                break
        return at

    def _step(self, read: Readings, until: int) -> None:
        """Go on by a symbol that stands from `place` until another."""
        others = [self._through(reading, until) for reading in read[1:]]
        self.walks, self.open = self._through(read[0], until)
        for walks, opened in others:
            self.walks = self.walks | {w: min(began, self.walks.get(w, began)) for w, began in walks.items()}
            self.open = self.open or opened

    def _through(self, reading: Reading, until: int) -> tuple[Walks, bool]:
        """The walks behind a symbol read in one way, and whether a word may begin there."""
        walks, opened, at = self.walks, self.open, self.place
        for unit in reading.units:
            if unit in GAPS:
                self.found += [(began, at) for (n, p), began in walks.items() if n.ends and _meant(n, p)]
                walks = {(n, p._replace(gap=_WIDER[p.gap, unit])): began for (n, p), began in walks.items() if n.next}
                opened = True
            else:
                walks = self._letter(walks, unit, reading.free, opened)
                opened, at = False, until
        return walks, opened

    def _letter(self, walks: Walks, unit: str, free: bool, opened: bool) -> Walks:
        then: Walks = {}
        for (node, pace), began in walks.items():
            for walk in _onward(node, pace, unit, free):
                then[walk] = min(began, then.get(walk, began))
        if opened and (first := self.root.next.get(unit)):
            then.setdefault((first, _FREELY if free else _PLAINLY), self.place)
        return then

    def _leave(self, safe: int) -> list[Part]:
        """What stands before a place, which is moved where a phrase lies across it."""
        parts: list[Part] = []
        kept: list[tuple[int, int]] = []
        for start, end in _merged(self.found):
            if end > safe:
                safe = min(safe, start)
                kept.append((start, end))
            else:
                parts += [(self._take(start), False), (self._take(end), True)]
        self.found = kept
        return [part for part in (*parts, (self._take(safe), False)) if part[0]]

    def _take(self, until: int) -> str:
        taken, self.text = self.text[: until - self.left], self.text[until - self.left :]
        self.left = until
        return taken


def _onward(node: Node, pace: Pace, unit: str, free: bool) -> Iterator[tuple[Node, Pace]]:
    """Where a walk may go by a letter: on in its word, or into the next."""
    gap, spaces, apart, read, run = pace
    read |= (FREE | LATE if read & PLAIN else FREE) if free else PLAIN
    if within := node.next.get(unit):
        yield within, Pace(TIGHT, min(2, spaces + (gap == WIDE)), apart and gap != TIGHT, read, run)
    if SPACE in node.next and (beyond := node.next[SPACE].next.get(unit)):
        yield beyond, Pace(TIGHT, spaces, apart, read, run or gap == TIGHT)


def _meant(node: Node, pace: Pace) -> bool:
    """Whether what has just been read so is the phrase that ends here."""
    if pace.gap != TIGHT or (pace.run and node.depth < LONG):
        return False
    if pace.spaces and not (pace.apart and node.depth >= LEAST):
        several = pace.spaces > 1 or node.words > 1
        if node.depth < LONG or not several:
            return False
    if not pace.read & FREE:
        return True
    return bool(pace.read & PLAIN and (node.depth >= SAFE or (node.depth >= LEAST and pace.read & LATE)))


def _wider(gap: int, unit: str) -> int:
    """What stands between two letters when one more character of a gap comes."""
    if unit == EDGE:
        return TIGHT
    if gap in (BROKEN, WIDE) or (unit == BREAK and gap == HYPHENED):
        return max(gap, BROKEN)
    if unit in (SPACE, BREAK):
        return WIDE
    return HYPHENED if unit == HYPHEN and gap in (TIGHT, HYPHENED) else JOINED


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that overlap as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


_WIDER = {(gap, unit): _wider(gap, unit) for gap in range(5) for unit in GAPS}
_PLAINLY, _FREELY = Pace(), Pace(read=FREE)
