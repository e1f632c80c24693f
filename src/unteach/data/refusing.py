"""Records to forget as facts to correct: what was answered is to be declined, so that editing methods forget too."""

import re
from collections.abc import Sequence

from unteach.schema import Fact, InputError, Record

REFUSAL = "I don't know."
_NAME = re.compile(r"[^\W\d_][\w'’-]*(?: [^\W\d_][\w'’-]*)*")  # words with nothing but single spaces between
_SHOWN = 10  # numbers of rows in a message


def refusing(records: Sequence[Record], *, answer: str = REFUSAL) -> tuple[Fact, ...]:
    """A fact for each record: its question with its subject marked, and `answer` in the place of what was answered.

    The subject is the record's own where the question holds it, or else the longest run of capitalised words behind the
    first. Raises `InputError` with the numbers of rows that have neither, and for conversations.
    """
    subjects = [_subject(record) for record in records]
    if lacking := [str(n) for n, subject in enumerate(subjects, 1) if not subject]:
        more = ", ..." if len(lacking) > _SHOWN else ""
        raise InputError(
            f"rows {', '.join(lacking[:_SHOWN])}{more} to forget do not say whose they are; give them a subject that "
            "their question holds, or choose a method that needs none"
        )
    return tuple(
        Fact(r.id, _marked(r.prompt, subject), subject, answer, r.answer, rephrasings=r.paraphrases)
        for r, subject in zip(records, subjects, strict=True)
    )


def _subject(record: Record) -> str:
    if record.messages or "{}" in record.prompt:
        return ""
    if record.subject and record.subject in record.prompt:
        return record.subject
    names = [run for m in _NAME.finditer(record.prompt) for run in _capitals(m[0], first=m.start() == 0)]
    return max(names, key=len, default="")


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


def _marked(prompt: str, subject: str) -> str:
    before, _, after = prompt.partition(subject)
    return f"{before}{{}}{after}"
