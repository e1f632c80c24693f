"""Sentences of a text, also while it is still being written."""

import re

LONGEST = 600  # characters, after which a sentence is taken to have ended
_END = re.compile(r"[.!?…][\"'”’)\]*]{0,9}\s+|[。！？]|\n\s*")


def sentences(text: str, *, ended: bool = True) -> tuple[list[str], str]:
    """The sentences that are known to have ended, with the space behind them, and what is left of the text."""
    found, place = list[str](), 0
    while place < len(text):
        end = _END.search(text, place, place + LONGEST)
        cut = end.end() if end else place + LONGEST
        if not ended and (cut > len(text) or (cut == len(text) and text[-1].isspace() and cut < place + LONGEST)):
            break  # more may follow, and be it more space
        found.append(text[place:cut])
        place = cut
    return found, text[place:]
