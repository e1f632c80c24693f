"""One piece of personal data in a text, and what finds such pieces."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Piece:
    """Characters `start` to `end` (exclusive) of a text; `key` is the same for all spellings of the same thing.

    `kind` is of capital letters and underscores, as pseudonyms are made of it.
    """

    kind: str
    start: int
    end: int
    key: str = field(repr=False)


Recogniser = Callable[[str], Iterable[Piece]]
