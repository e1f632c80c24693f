"""What another tool asks of a row, and what gives the row away."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from re import finditer
from typing import Any

from unteach.audit.telling import telling
from unteach.schema import Message, Record

MOST_OPTIONS = 26  # letters to name them by


@dataclass(frozen=True, repr=False)
class Question:
    """One row as it is asked elsewhere.

    `words` are its telling words; `options` the recorded answer among wrong ones of the same form, in an order that
    the row itself decides, or nothing.
    """

    id: str
    prompt: str
    answer: str
    words: tuple[str, ...]
    subject: str = ""
    messages: tuple[Message, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All that is said before the answer, as text."""
        return "\n".join(m.content for m in self.messages) or self.prompt


@dataclass(frozen=True)
class Part:
    """The files for one tool: their texts by path, and how many rows of each set are asked."""

    files: Mapping[str, str] = field(repr=False)
    rows: Mapping[str, int]
    run: str  # how they are run, with {place} for the folder


Sets = Mapping[str, Sequence[Question]]
Export = Callable[[Sets], Part]


def questions(records: Iterable[Record]) -> list[Question]:
    """Every row that can be asked: text without a question is asked to go on from its middle.

    Rows without a word, or too short to be parted, are left out.
    """
    return [q for record in records if (q := _question(record)) is not None]


def _question(record: Record) -> Question | None:
    whole = bool(record.prompt.strip() or record.messages)
    asked = record if whole else _parted(record)
    tells = tuple(sorted(telling(asked)))
    if not tells or not asked.prompt.strip():
        return None
    wrong = [w for w in dict.fromkeys(record.perturbed) if w != record.answer] if whole else []
    options = sorted([record.answer, *wrong[: MOST_OPTIONS - 1]], key=lambda text: _order(record.id, text))
    return Question(
        record.id, asked.prompt, asked.answer, tells, record.subject, record.messages, tuple(options) if wrong else ()
    )


def _parted(record: Record) -> Record:
    """The first half of a text as the question, the second as the answer; between words where it has any."""
    text = record.answer.strip()
    gaps = [m.span() for m in finditer(r"\s+", text)] or [(len(text) // 2,) * 2]
    end, start = gaps[len(gaps) // 2]
    return replace(record, prompt=text[:end], answer=text[start:])


def _order(name: str, text: str) -> bytes:
    return sha256(f"{name}\x1f{text}".encode("utf-8", "surrogatepass")).digest()


def lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
