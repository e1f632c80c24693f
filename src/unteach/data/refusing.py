"""Records to forget as facts to correct: what was answered is to be declined, so that editing methods forget too."""

from collections.abc import Sequence

from unteach.data.subjects import subject_of
from unteach.schema import Fact, InputError, Record

REFUSAL = "I don't know."
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
    return "" if record.messages or "{}" in record.prompt else subject_of(record)


def _marked(prompt: str, subject: str) -> str:
    before, _, after = prompt.partition(subject)
    return f"{before}{{}}{after}"
