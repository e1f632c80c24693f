"""When a wrong answer may stand beside the right one."""

from unteach.data.fold import fold
from unteach.data.wordings.subjects import Row
from unteach.data.wordings.vocabulary import content, words

ALIKE = 0.6  # share of content words from which another's answer could be the right one in other words
SHORTEST, LONGEST, SLACK = 0.5, 2.0, 2  # words, in lengths of the right answer


def wrong(row: Row, text: str) -> bool:
    """Whether a text is another answer of the same form: as long, and short of a word that tells the right one.

    What tells is what the answer says and the question does not. A marked part of the answer must be changed.
    """
    record = row.record
    if fold(text) in (fold(record.answer), fold(record.restated)) or not formed(record.answer, text):
        return False
    told = set(words(record.answer)) - set(words(record.prompt))
    marked = [fold(record.answer[s.start : s.end]) for s in record.spans]
    if marked and all(part in fold(text) for part in marked):
        return False
    return bool((told or set(words(record.answer))) - set(words(text)))


def formed(right: str, text: str) -> bool:
    """Whether a text is about as long as the right one."""
    own, given = len(right.split()), len(text.split())
    return SHORTEST * own - SLACK <= given <= LONGEST * own + SLACK and bool(words(text))


def apart(row: Row, text: str) -> bool:
    """Whether two answers say different things of the same: few of their content words are common."""
    asked = content(row.record.prompt) | {w for n in row.names for w in words(n)}
    own, given = content(row.record.answer) - asked, content(text) - asked
    return bool(own - given and given - own) and len(own & given) <= ALIKE * min(len(own), len(given))
