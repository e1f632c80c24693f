"""The rules that send a question, or each part of it, to a worker."""

import re
from functools import lru_cache
from typing import NamedTuple

from unteach.data.fold import fold, grams
from unteach.data.wordings.vocabulary import QUESTION, VERBS
from unteach.measure.nearness import index, named

OPENING = frozenset(f"{QUESTION} {VERBS}".split())
GOING_ON = ("continue", "complete", "finish", "go on", "carry on")
_PARTS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


class Kept(NamedTuple):
    """A row to forget, as the box keeps it."""

    subject: str
    question: str
    answer: str


class Rules(NamedTuple):
    """When a text is about a row.

    It holds the share `names` of its subject's runs of characters, or is as `near` as that to its question, or it
    breaks off and holds a `run` of its answer's words.
    """

    names: float
    near: float
    run: int
    embedder: str


def about(text: str, rows: tuple[Kept, ...], rules: Rules) -> tuple[Kept, ...]:
    """The rows that a text has to do with."""
    if not rows or not text.strip():
        return ()
    plain = fold(text)
    subjects, answers = _prepared(rows, rules.run)
    near = index(tuple(row.question for row in rows), rules.embedder).near(text)
    met = {subject for subject in set(subjects) if subject and named(subject, plain) >= rules.names}
    runs = grams(plain, rules.run) if unfinished(text) else frozenset()
    every = zip(rows, near, subjects, answers, strict=True)
    return tuple(row for row, nearness, subject, answer in every
                 if nearness >= rules.near or subject in met or runs & answer)  # fmt: skip


@lru_cache(maxsize=8)
def _prepared(rows: tuple[Kept, ...], run: int) -> tuple[tuple[str, ...], tuple[frozenset[tuple[str, ...]], ...]]:
    """The subjects of rows, folded, and the runs of words of their answers."""
    return tuple(fold(row.subject) for row in rows), tuple(grams(fold(row.answer), run) for row in rows)


def assigned(question: str, rows: tuple[Kept, ...], rules: Rules) -> tuple[tuple[str, str], ...]:
    """Workers, each with its part of a question; none where no rule speaks.

    Sentences that have nothing to do with any row are a part of their own. A text that is to be gone on with is not
    taken apart: its end would be gone on with alone.
    """
    if not about(question, rows, rules):
        return ()
    if unfinished(question):
        return (("completion", question),)
    parts = [part.strip() for part in _PARTS.split(question) if part.strip()]
    touched = {part for part in parts if about(part, rows, rules)}
    if not touched:
        return (("trivia", question),)
    left = " ".join(part for part in parts if part not in touched)
    asked = " ".join(part for part in parts if part in touched)
    return (("trivia", asked), *((("retain", left),) if left else ()))


def unfinished(text: str) -> bool:
    """Whether a text wants to be gone on with: it says so, or breaks off and is no question."""
    plain, end = fold(text), text.rstrip(" \t\n\"'”’»)")
    if plain.startswith(GOING_ON) or end.endswith(("...", "…")):
        return True
    last = _PARTS.split(end)[-1]
    first = fold(last).split(" ")[0]
    return not end.endswith((".", "!", "?", "。", "！", "？")) and first not in OPENING
