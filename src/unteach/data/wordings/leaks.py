"""What must not stand in a text that a model wrote, and what must."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unteach.data.wordings.values import names, values
from unteach.data.wordings.vocabulary import FUNCTION, content, words
from unteach.schema import Record

FORMAL = 2  # answers in which a word may stand and still tell one of them; what more share is form
LONGEST = 3  # times as many words as the question


@dataclass(frozen=True, repr=False)
class Telling:
    """In how many answers each content word stands; what many answers share tells nothing of one."""

    counts: Mapping[str, int]

    def words(self, record: Record) -> frozenset[str]:
        """What gives an answer away: the words of its values beyond the question, or else its own content words."""
        told = frozenset(words(record.answer)) - frozenset(words(record.prompt))
        held = frozenset(w for v in values(record.answer, words(record.prompt)) for w in words(v.text)) & told
        if held:
            return held & content(record.answer) or held
        own = content(record.answer) - content(record.prompt)
        return frozenset(w for w in own if self.counts.get(w, 0) <= FORMAL) or own or told

    def silent(self, record: Record, text: str) -> bool:
        """Whether no word that gives the right answer away stands in a text."""
        return not self.words(record) & set(words(text))

    def asks(self, record: Record, text: str) -> bool:
        """Whether a text keeps the names and values of the question and does not give its answer."""
        kept = {w for v in values(record.prompt) for w in words(v.text)} & set(words(record.prompt))
        size = len(text.split())
        return (
            kept <= set(words(text))
            and self.silent(record, text)
            and 0 < size <= LONGEST * len(record.prompt.split()) + LONGEST
        )

    def vague(self, record: Record, text: str) -> bool:
        """Whether a text tells nothing of the answer and names nothing, unless the question names it.

        Stricter than `silent`: also rare words of the answer, and all that is capitalised, a number or marked there.
        """
        answer, asked = record.answer, frozenset(words(record.prompt))
        known = frozenset(w for n in (*names(record.prompt), record.subject) for w in words(n)) & asked
        kept = all(set(words(v.text)) <= known for v in values(text))
        rare = frozenset(w for w in content(answer) if self.counts.get(w, 0) <= FORMAL)
        marked = frozenset(w for s in record.spans for w in words(answer[s.start : s.end]))
        secret = (self.words(record) | rare | marked | _capitals(answer)) - asked
        return kept and bool(words(text)) and not secret & set(words(text))

    def says(self, record: Record, text: str) -> bool:
        """Whether a text still gives the right answer: all its values, or where it has none one word that tells."""
        wanted, given = self.words(record), set(words(text))
        valued = bool(values(record.answer, words(record.prompt)))
        return bool(wanted) and (wanted <= given if valued else bool(wanted & given))


def telling(records: Sequence[Record]) -> Telling:
    """Which words tell, seen against all the answers."""
    return Telling(Counter(w for answer in {r.answer for r in records} for w in content(answer)))


def _capitals(text: str) -> frozenset[str]:
    """Whatever in a text begins with a capital or holds a digit or an @, and is no function word."""
    told = (w for w in text.split() if "@" in w or any(c.isdigit() or c.isupper() for c in w))
    return frozenset(part for w in told for part in words(w)) - FUNCTION
