"""Runs of words that stand in a set of texts more than once."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from unteach.data.fold import UNSPACED

_WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
_PRIME, _STEP = (1 << 61) - 1, 1_000_003

Place = tuple[int, int]  # characters from, to (exclusive)


def repeated(texts: Sequence[str], length: int) -> Iterator[tuple[int, Place, int]]:
    """The text, its characters, and the text of the first occurrence, for all that repeats `length` words or more.

    A run repeats where the same words, as they are written, stand in an earlier text or earlier in its own; runs
    that touch are given as one. Found by a rolling hash (Karp and Rabin 1987), and compared word by word.
    """
    words = [_words(text) if len(text) >= length else [] for text in texts]
    numbers: dict[str, int] = {}
    every = [
        [numbers.setdefault(word, len(numbers) + 1) for word in found] if len(found) >= length else []
        for found in words
    ]
    first: dict[int, tuple[int, int]] = {}
    for text, found in enumerate(every):
        last: tuple[int, int, int] | None = None  # a run so far: its words, and whose it repeats
        for at, value in enumerate(_rolling(found, length)):
            of = _before(first, value, every, (text, at), length)
            if of is None:
                continue
            if last and at > last[1]:
                yield text, _place(texts[text], last[0], last[1]), last[2]
                last = None
            last = (last[0], at + length, last[2]) if last else (at, at + length, of)
        if last:
            yield text, _place(texts[text], last[0], last[1]), last[2]


def _words(text: str) -> list[str]:
    return text.split() if text.isascii() else _WORD.findall(text)


def _place(text: str, first: int, end: int) -> Place:
    """The characters of the words `first` to `end` (exclusive)."""
    spans = [match.span() for match in islice(_WORD.finditer(text), first, end)]
    return spans[0][0], spans[-1][1]


def _rolling(numbers: Sequence[int], length: int) -> Iterator[int]:
    """The hash of every run of so many words, each from the one before."""
    if len(numbers) < length:
        return
    top = pow(_STEP, length - 1, _PRIME)
    value = 0
    for number in numbers[:length]:
        value = (value * _STEP + number) % _PRIME
    yield value
    for gone, come in zip(numbers, numbers[length:], strict=False):
        value = ((value - gone * top) * _STEP + come) % _PRIME
        yield value


def _before(
    first: dict[int, tuple[int, int]], value: int, every: Sequence[Sequence[int]], place: tuple[int, int], length: int
) -> int | None:
    """The text in which a run was first seen; None where this is its first place, which is then noted."""
    text, at = place
    run = every[text][at : at + length]
    while (standing := first.setdefault(value, place)) != place:
        if every[standing[0]][standing[1] : standing[1] + length] == run:
            return standing[0]
        value += 1  # another run of the same hash
    return None
