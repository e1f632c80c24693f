"""Runs of words that stand in a set of texts more than once."""

import re
from collections.abc import Iterator, Sequence

from unteach.data.fold import UNSPACED

_WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
_PRIME, _STEP = (1 << 61) - 1, 1_000_003

Place = tuple[int, int]  # characters from, to (exclusive)


def repeated(texts: Sequence[str], length: int) -> Iterator[tuple[int, Place, int]]:
    """The text, its characters, and the text of the first occurrence, for all that repeats `length` words or more.

    A run repeats where the same words, as they are written, stand in an earlier text or earlier in its own; runs
    that touch are given as one. Found by a rolling hash (Karp and Rabin 1987), and compared word by word.
    """
    words = [[match.span() for match in _WORD.finditer(text)] for text in texts]
    numbers: dict[str, int] = {}
    every = [[numbers.setdefault(t[a:b], len(numbers) + 1) for a, b in w] for t, w in zip(texts, words, strict=True)]
    first: dict[int, tuple[int, int]] = {}
    for text, found in enumerate(every):
        last: tuple[int, int, int] | None = None  # a run so far: its words, and whose it repeats
        for at, value in enumerate(_rolling(found, length)):
            of = _before(first, value, every, (text, at), length)
            if of is None:
                continue
            if last and at > last[1]:
                yield text, (words[text][last[0]][0], words[text][last[1] - 1][1]), last[2]
                last = None
            last = (last[0], at + length, last[2]) if last else (at, at + length, of)
        if last:
            yield text, (words[text][last[0]][0], words[text][last[1] - 1][1]), last[2]


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
