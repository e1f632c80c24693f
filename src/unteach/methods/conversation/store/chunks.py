"""Documents in passages that are found and shown as a whole."""

import re
from textwrap import wrap
from typing import NamedTuple

from unteach.data.documents import Document

_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n\s*\n")


class Chunk(NamedTuple):
    """A passage of a document."""

    document: str
    subject: str
    text: str


def chunks(document: Document, length: int) -> tuple[Chunk, ...]:
    """Runs of whole sentences of at most `length` characters together; a longer sentence is cut between words."""
    found, now = list[str](), ""
    for part in (part for sentence in sentences(document.text) for part in wrap(sentence, length)):
        if now and len(now) + 1 + len(part) > length:
            found, now = [*found, now], part
        else:
            now = f"{now} {part}" if now else part
    return tuple(Chunk(document.id, document.subject, text) for text in (*found, now))


def sentences(text: str) -> list[str]:
    """The sentences of a text, by what ends them."""
    return [part.strip() for part in _END.split(text) if part.strip()]
