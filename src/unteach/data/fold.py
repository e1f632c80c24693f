"""Text without the differences that do not make it another text."""

import re
import sys
import unicodedata
from functools import cache

# Scripts written without spaces between words, taken character by character.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_TOKEN = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")


def fold(text: str) -> str:
    """NFKC, case-folded, every run of whitespace and punctuation one space.

    Symbols are kept (C# and C++ stay apart as c and c++); text that is nothing but punctuation is kept whole.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(plain.translate(_separators()).split()) or text.strip()


def tokens(folded: str) -> list[str]:
    """The words of a folded text, and the characters where words are not spaced."""
    return folded.split() if folded.isascii() else _TOKEN.findall(folded)


def grams(folded: str, size: int = 3) -> frozenset[tuple[str, ...]]:
    """The runs of `size` words of a folded text (characters where words are not spaced), as a set."""
    every = tokens(folded)
    if len(every) <= size:
        return frozenset([tuple(every)])
    return frozenset(zip(*(every[i:] for i in range(size)), strict=False))


@cache
def _separators() -> dict[int, str | None]:
    """Punctuation, separators and controls become a space; invisible format characters go."""
    table: dict[int, str | None] = {}
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category == "Cf":
            table[code] = None
        elif category[0] in "PZ" or category == "Cc":
            table[code] = " "
    return table
