"""What stands in the same place of answers of the same form.

A place is known by the words around it: in "X works as a potter, ..." and "Y works as a baker." both trades follow
"works as". A name is exchanged by one of the same kind, a clause up to its end and with its article.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from unteach.data.wordings.subjects import MASK, Others, Row, mask
from unteach.data.wordings.values import Value, values
from unteach.data.wordings.vocabulary import FUNCTION, content, words

LONGEST = 9  # words in a clause
PREPOSITIONS = frozenset(("in", "at", "from", "by", "near", "named", "called"))
KINDS = (  # last words that say what a name names
    "university college school institute academy award prize medal contest competition fellowship scholarship festival "
    "street road avenue lane boulevard blvd st rd ave city river lake mountain island "
    "hospital museum company inc ltd bank church party"
)
HEADS = frozenset(KINDS.split())

GIVEN = ("award", "prize", "honor", "honour", "won", "receiv", "recogni")  # what is said of prizes, not of books
_ASKS_WHO = re.compile(r"^who(?:se|m)?\b|\bname of\b", re.IGNORECASE)
_COPULA = re.compile(r"\b(?:is|are|was|were|has|had|have)\s+(?=an?\s)|\bas\s+|\b(?:in|with|through|by|on|for|of)\s+")
_CLAUSE = re.compile(
    r"[^,.;:!?()\n]+?(?=,|[.;:!?()\n]|\s+(?:and|but|which|who|that|while|where|whose|with|in|for|because)\b|$)"
)
_WORD = re.compile(r"[\w'’◇-]+")
_LIST = re.compile(r",? (?:and|or) (?=[^\W\d_a-z])|, (?=[^\W\d_a-z])")

Key = tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Place:
    """A stretch of an answer, and what it may be exchanged by: the keys of its pools, the best first."""

    start: int
    end: int
    text: str
    keys: tuple[Key, ...]


def places(row: Row) -> tuple[Place, ...]:
    """The names that the question lacks, and what follows a copula or a preposition."""
    text = row.record.answer
    known = {w for name in row.names for w in words(name)}
    every = values(text, known)
    told = [v for v in every if v.kind in ("name", "title") and not known & (set(words(v.text)) - FUNCTION)]
    named = [Place(v.start, v.end, v.text, tuple(_kinds(v, row))) for v in _joined(told, text)]
    firm = [v for v in every if v.kind not in ("name", "title")]
    free = [p for p in _clauses(row) if not any(v.start < p.end and p.start < v.end for v in firm)]
    return tuple(sorted([*free, *named], key=lambda p: p.start))


def pools(others: Others) -> Mapping[Key, tuple[tuple[str, str], ...]]:
    """What stands in the places of a key, with the row it comes from."""
    found: defaultdict[Key, set[tuple[str, str]]] = defaultdict(set)
    for row in others.rows:
        for place in places(row):
            for key in place.keys:
                found[key].add((row.key, place.text))
    return {key: tuple(sorted(some)) for key, some in found.items()}


def _joined(told: Sequence[Value], text: str) -> Iterator[Value]:
    """A town and its country are one name."""
    last: Value | None = None
    for value in told:
        pair = last is not None and text[last.end : value.start] == ", " and _of_place(text[: last.start])
        if last is not None and pair and "," not in last.text and not _LIST.match(text, value.end):
            last = Value("name", last.start, value.end, text[last.start : value.end])
            continue
        if last is not None:
            yield last
        last = value
    if last is not None:
        yield last


def _of_place(before: str) -> bool:
    return before.endswith(("in ", "from ", "at ", "near "))


def _kinds(value: Value, row: Row) -> Iterator[Key]:
    """Names of one kind: with the same last word (a street, a prize), else after the same words and as long."""
    head = words(value.text)[-1]
    if head in HEADS:
        yield ("head", head)
        return
    before = _before(row, value.start)
    if value.kind == "title":
        yield ("title", "given" if any(w.startswith(GIVEN) for w in before[-5:]) else "")
        return
    text = row.record.answer
    after = re.match(r"['’]|\s+([^\W\d_]+)", text[value.end :])
    joint = ("'" if after[0][0] in "'’" else "noun" if after[1].casefold() not in FUNCTION else "") if after else ""
    form = f"{min(2, len(value.text.split()))}{',' * (',' in value.text)}{'A' * value.text.isupper()}{joint}"
    if len(before) > 1:
        yield ("name", *before[-3:], form)
        yield ("name", *before[-2:], form)
    if before and before[-1] in PREPOSITIONS and joint != "noun":
        yield ("name", before[-1], form)
    if _ASKS_WHO.search(row.record.prompt) and form[0] == "2":
        yield ("who", form)


def _clauses(row: Row) -> Iterator[Place]:
    """Phrases with an article after a copula, any after `as`, and the end of a sentence after a preposition."""
    text, done = row.record.answer, 0
    for opens in _COPULA.finditer(text):
        match = _CLAUSE.match(text, opens.end())
        if opens.start() < done or match is None:
            continue
        written, before = match[0].rstrip(), _before(row, opens.end())
        loose = before[-1:] and before[-1] in ("in", "with", "through", "by", "on", "for", "of")
        if len(written.split()) > LONGEST or not content(written) or not set(before[-3:-1]) - FUNCTION:
            continue
        if loose and (len(before) < 3 or text[match.end() :].strip() not in ("", ".")):
            continue
        if MASK in mask(written, row.names):
            continue
        done = match.start() + len(written)
        keys = (("clause", *before[-3:], _form(written)), ("clause", *before[-2:], _form(written)))
        yield Place(match.start(), done, written, keys[:1] if loose else keys)


def _form(written: str) -> str:
    """What a clause begins with, so that what is exchanged stays grammatical."""
    first = words(written)[0]
    if first in ("a", "an"):
        return "a"
    if first in FUNCTION:
        return first
    return next((end for end in ("ing", "ed", "ly") if first.endswith(end)), "")


def _before(row: Row, start: int) -> Sequence[str]:
    """The words before a place in its own sentence, whom it is about masked."""
    sentence = re.split(r"[.!?\n]\s", row.record.answer[:start])[-1]
    return ["#" if w[0].isdigit() else w.casefold() for w in _WORD.findall(mask(sentence, row.names))]
