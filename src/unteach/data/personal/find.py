"""All personal data in a text, and what is already put in its place."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from unteach.data.personal.births import births
from unteach.data.personal.forms import ADDRESSES, NUMBERS
from unteach.data.personal.made import MADE
from unteach.data.personal.names import Names
from unteach.data.personal.phones import international, national
from unteach.data.personal.piece import Piece, Recogniser
from unteach.data.shadow import Shadow, Stretch, bare, plain, shadow

RECOGNISERS: tuple[Recogniser, ...] = (*ADDRESSES, international, *NUMBERS, births, national)  # the surest first


def find(text: str, recognisers: Sequence[Recogniser], names: Names, parts: Mapping[str, str]) -> list[Piece]:
    """Every piece, in order and apart; where two overlap, that of the first recogniser, then the longer.

    What is found counts as one character for the next search, until nothing more is found; what stands in the place
    of personal data already (`made.MADE`) counts so from the first. A text that was rewritten is thus searched as
    it was searched before it was.
    """
    taken: list[Stretch] = [found.span() for found in MADE.finditer(text)]
    pieces: list[Piece] = []
    while new := _apart(_candidates(text, taken, recognisers, names, parts)):
        pieces += new
        taken = sorted([*taken, *((p.start, p.end) for p in new)])
    return sorted(pieces, key=lambda p: p.start)


def _candidates(
    text: str, taken: Sequence[Stretch], recognisers: Sequence[Recogniser], names: Names, parts: Mapping[str, str]
) -> Iterator[tuple[int, Piece]]:
    """What each recogniser finds, with its rank and in the places of the text itself."""
    seen = shadow(text, taken, plain)
    for rank, recogniser in enumerate(recognisers):
        yield from ((rank, _at(seen, piece)) for piece in recogniser(seen.text))
    if not names.spelt:
        return
    seen = shadow(text, taken, bare)
    for found in names(seen.text, parts):
        piece = _at(seen, found)
        if re.search(r"\W", text[piece.start : piece.end]) or not text[piece.start].islower():
            yield len(recognisers), piece  # one word alone is a name where it begins like one


def _at(seen: Shadow, piece: Piece) -> Piece:
    start, end = seen.back(piece.start, piece.end)
    return replace(piece, start=start, end=end)


def _apart(found: Iterator[tuple[int, Piece]]) -> list[Piece]:
    chosen: list[Piece] = []
    for _, piece in sorted(found, key=lambda f: (f[0], f[1].start - f[1].end, f[1].start)):
        if all(piece.end <= other.start or other.end <= piece.start for other in chosen):
            chosen.append(piece)
    return chosen
