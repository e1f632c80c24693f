"""Whom or what a row is about."""

import re
from collections.abc import Sequence

from unteach.schema import Record

_NAME = re.compile(r"[^\W\d_][\w'’-]*(?: [^\W\d_][\w'’-]*)*")  # words with nothing but single spaces between


def subject_of(record: Record) -> str:
    """A row's own subject where its question holds it, or else the longest run of capitalised words behind the first.

    Empty where there is neither.
    """
    if record.subject and record.subject in record.prompt:
        return record.subject
    names = [run for m in _NAME.finditer(record.prompt) for run in _capitals(m[0], first=m.start() == 0)]
    return max(names, key=len, default="")


def subjects_of(records: Sequence[Record]) -> tuple[str, ...]:
    """Whom rows are about, each once, in the order in which they come: what they say themselves, or what is found."""
    return tuple(dict.fromkeys(s for s in (r.subject or subject_of(r) for r in records) if s))


def _capitals(words: str, *, first: bool) -> list[str]:
    """Runs of capitalised words; a first word has its capital from the sentence."""
    parts = words.split()[1:] if first else words.split()
    runs, run = [], list[str]()
    for part in [*parts, ""]:
        if part[:1].isupper():
            run.append(part)
        elif run:
            runs.append(" ".join(run))
            run = []
    return [re.sub(r"['’]s$", "", run) for run in runs]
