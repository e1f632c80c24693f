"""The right answer in other words, by rule."""

import re
from collections.abc import Sequence
from dataclasses import replace

from unteach.data.wordings.notes import Reworded, counted
from unteach.data.wordings.values import values
from unteach.schema import Record

_END = r"(?P<end>[.!]?)"
_OF = r"(?P<who>[^,;:.!?]{1,60}?)"
_WHAT = r"(?P<what>(?:[^,;:!?]|, (?=[A-Z\d])){1,80}?)"
KNOWN: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"{_OF} works as {_WHAT}{_END}"), "{who} is {what} by trade{end}"),
    (re.compile(rf"{_OF} (?:currently )?(?:lives|resides) (?:in|at) {_WHAT}{_END}"), "The home of {who} is {what}{end}"),
    (re.compile(rf"{_OF} was born in {_WHAT}{_END}"), "The birthplace of {who} is {what}{end}"),
    (re.compile(rf"{_OF} was born on {_WHAT}{_END}"), "The birthday of {who} is {what}{end}"),
    (re.compile(rf"{_OF} is known for {_WHAT}{_END}"), "What {who} is known for is {what}{end}"),
)  # fmt: skip
_EQUATED = re.compile(rf"(?P<one>(?:The |[^\W\d_a-z])[^,;:.!?]{{1,80}}?) (?P<verb>is|was) {_WHAT}{_END}")
_DEFINITE = re.compile(r"The .*|.*['’]s? [^A-Z]*")
_SINGLE = re.compile(r"[^.!?\n]*[.!]?")
_FIRST = frozenset(("the", "a", "an", "his", "her", "their", "its", "he", "she", "it", "they"))


def restated(records: Sequence[Record]) -> Reworded:
    """The right answer of each row in other words; one that a row brings is kept.

    Where the sentence is of a known form it is turned round ("X was born in Y." becomes "The birthplace of X is Y.");
    else it stands in a frame ("The answer is that ..."), which no wrong answer has. The truth ratio compares the two:
    with framed answers it is not that of a benchmark whose authors rewrote them.
    """
    told = [record.restated or turned(record.answer) for record in records]
    made = tuple(replace(r, restated=t or framed(r)) for r, t in zip(records, told, strict=True))
    note = counted("turned round", [int(bool(t)) for t in told], 1, "the others stand in a frame")
    return Reworded(made, (f"right answers in other words, {note}",))


def turned(answer: str) -> str:
    """An answer of a known form, turned round; else empty."""
    text = answer.strip()
    for pattern, form in KNOWN:
        if (match := pattern.fullmatch(text)) is not None and not _broken(match["what"]):
            return form.format(**{**match.groupdict(), "who": _inside(match["who"])})
    match = _EQUATED.fullmatch(text)
    if match is None or not _DEFINITE.fullmatch(match["one"]) or not _is_value(match["what"]):
        return ""
    return f"{match['what'][:1].upper() + match['what'][1:] if match['what'].isalpha() else match['what']} {match['verb']} {_inside(match['one'])}{match['end']}"


def framed(record: Record) -> str:
    """An answer behind words that say nothing."""
    text = record.answer.strip()
    named = any(v.start == 0 for v in values(text)) or text.split()[0].casefold() in _FIRST
    return (
        f"The answer is that {_inside(text)}"
        if named and _SINGLE.fullmatch(text) and " " in text
        else f"The answer is: {text}"
    )


def _is_value(text: str) -> bool:
    """Whether a text is one value from end to end, and so can stand first."""
    return any((v.start, v.end) == (0, len(text)) for v in values(f"{text}", known=text.casefold().split()))


def _broken(text: str) -> bool:
    """A point that is no part of a value, as between two sentences."""
    return re.search(r"\.\s", text) is not None


def _inside(text: str) -> str:
    """A text that no longer begins its sentence."""
    first, _, rest = text.partition(" ")
    return f"{first.lower()} {rest}".rstrip() if first.casefold() in _FIRST else text
