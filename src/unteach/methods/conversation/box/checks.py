"""What may leave the box: pure functions of a text, of the rows to forget, and of what the user said already."""

import re
from collections.abc import Sequence

from unteach.data.fold import fold, grams
from unteach.data.wordings.vocabulary import content
from unteach.methods.conversation.box.rules import Kept

CLOSE = 4  # words: a shorter run than that which any output is searched for, where a text was about a row
_SHOWN = re.compile(r"\w*[^\W_a-z]\w*")  # words with a capital or a digit: names, dates, numbers


def echoes(text: str, orders: str, said: str) -> bool:
    """Whether a text holds a content word of somebody's orders that was not said otherwise."""
    return bool(content(text) & (content(orders) - content(said)))


def tells(text: str, rows: Sequence[Kept], said: str) -> bool:
    """Whether it holds a content word of a row's answer that was not said before."""
    known = content(said)
    return any(content(text) & (content(row.answer) - known) for row in rows)


def goes_on(text: str, rows: Sequence[Kept], said: str) -> bool:
    """Whether it goes on as a row does: by a name or number of the answer, or by a run of its words."""
    new = set(fold(text).split()) - set(fold(said).split())
    shown = {word for row in rows for found in _SHOWN.findall(row.answer) for word in content(found)}
    return bool(new & shown) or recites(text, rows, said, CLOSE)


def recites(text: str, rows: Sequence[Kept], said: str, run: int) -> bool:
    """Whether it holds so many words of an answer in a row, or a shorter answer whole, that were not said before."""
    for row in rows:
        answer = fold(row.answer)
        size = min(run, len(answer.split()))
        if size > 1 and (grams(fold(text), size) - grams(fold(said), size)) & grams(answer, size):
            return True
    return False


def names(text: str, rows: Sequence[Kept], said: str) -> bool:
    """Whether it names a subject that was not named before."""
    there, before = (f" {fold(words)} " for words in (text, said))
    subjects = {f" {fold(row.subject)} " for row in rows if row.subject}
    return any(subject in there and subject not in before for subject in subjects)
