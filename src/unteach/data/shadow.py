"""A text as it is searched, and the way back to the characters that it came from."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

TAKEN = "\ufffc"  # stands for a stretch that is already accounted for
Stretch = tuple[int, int]


@dataclass(frozen=True, repr=False)
class Shadow:
    """A folded text, and for each of its characters the stretch of the original that it stands for."""

    text: str
    source: Sequence[Stretch] | None = field(default=None)  # None: character by character the same

    def back(self, start: int, end: int) -> Stretch:
        """The characters of the original behind a part of this text."""
        if self.source is None:
            return start, end
        return self.source[start][0], self.source[end - 1][1]


def shadow(text: str, taken: Sequence[Stretch], fold: Callable[[str], str]) -> Shadow:
    """A text folded character by character; each stretch taken, in order and apart, becomes one character.

    Marks that a fold drops belong to the character before them.
    """
    if not taken and text.isascii():
        return Shadow(text.lower() if fold is bare else text)
    made: list[str] = []
    source: list[Stretch] = []
    place = 0
    for start, end in (*taken, (len(text), len(text))):
        for number in range(place, start):
            by = fold(text[number])
            if not by and source and unicodedata.combining(text[number]) and source[-1][1] == number:
                source[-1] = (source[-1][0], number + 1)
            made.extend(by)
            source += [(number, number + 1)] * len(by)
        if start < end:
            made.append(TAKEN)
            source.append((start, end))
        place = end
    return Shadow("".join(made), source)


@cache
def plain(character: str) -> str:
    """ASCII for digits, spaces, hyphens and full-width forms; nothing for invisible characters; else the same."""
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd" or character == "\u2212":
        return "-"
    if category == "Zs":
        return " "
    by = unicodedata.normalize("NFKC", character)
    return by if len(by) == 1 and by.isascii() else character


@cache
def bare(character: str) -> str:
    """The same without case and accents, by which names are compared; marks that make another letter stay."""
    parts = unicodedata.normalize("NFKD", plain(character))
    letters = "".join(c for c in parts if unicodedata.combining(c) <= 9)  # 8 and 9: voicing marks and viramas
    return unicodedata.normalize("NFKC", letters).casefold()
