"""Dates of birth: a date in digits or words, in the sentence of a word for being born."""

import re
from bisect import bisect_left
from collections.abc import Iterator

from unteach.data.personal.checks import day_exists
from unteach.data.personal.piece import Piece

BORN = re.compile(
    r"\b(?:born|birth\w*|dob|geboren\w*|geb|geburt\w*|née?|naissance|naci[dó]\w*|nacimiento|cumpleaños|nat[oa]|nascita|"
    r"nascid[oa]|nascimento|urodz\w+|роди\w+|рожд\w+)\b|\bd\.o\.b\.|出生|生日|生于|生まれ|誕生|출생|생일|مواليد|ولد|נולד|जन्म",
    re.I,
)
MONTHS = (
    "jan|ene|gen|sty|янв", "feb|fév|fev|lut|фев", "mar|mär|maart|мар", "apr|avr|abr|kwi|апр", "may|mai|mag|maj|mei|май|мая",
    "jun|juin|giu|cze|июн", "jul|juil|lug|lip|июл", "aug|aoû|aou|ago|sie|авг", "sep|set|wrz|сен", "oct|okt|ott|out|paź|окт",
    "nov|lis|ноя", "dec|dez|déc|dic|gru|дек",
)  # fmt: skip
_NAMED = r"((?:" + "|".join(MONTHS) + r")[^\W\d_]*)"
_YEAR = r"((?:18[5-9]|19\d|20\d)\d)(?!\d)"
DATES = tuple(
    re.compile(shape, re.I)
    for shape in (
        rf"(?<!\d){_YEAR} ?[-./年년] ?(\d{{1,2}}) ?[-./月월] ?(\d{{1,2}})(?!\d)(?: ?[日일])?",
        rf"(?<!\d)(?<!\d[./-])(\d{{1,2}}) ?[-./] ?(\d{{1,2}}) ?[-./] ?{_YEAR}",
        rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|º|\.)?(?: of| de)? {_NAMED}\.?,?(?: of| de| del)? {_YEAR}",
        rf"\b{_NAMED}\.? (\d{{1,2}})(?:st|nd|rd|th)?,? {_YEAR}",
    )
)
BEFORE, AFTER = 48, 20  # characters between the word and the date
_LONGEST = 32  # of the words
_STOP = re.compile(r"[;!?\n。]|\.\s+(?=[^\W\d_]*[A-ZА-Я])")  # a sentence ends


def births(text: str) -> Iterator[Piece]:
    """Dates that exist, with a word for being born at most 48 characters before or 20 behind, in one sentence."""
    words = [found.span() for found in BORN.finditer(text)]
    for pattern in DATES if words else ():
        for found in pattern.finditer(text):
            first = bisect_left(words, (found.start() - BEFORE - _LONGEST, 0))
            last = bisect_left(words, (found.end() + AFTER + 1, 0))
            near = any(_near(text, *word, *found.span()) for word in words[first:last])
            if near and (day := _day(found)):
                yield Piece("BIRTHDATE", *found.span(), day)


def _near(text: str, begin: int, stop: int, start: int, end: int) -> bool:
    """Whether a word and a date are near each other and no sentence ends between them."""
    between = text[stop:start] if stop <= start else text[end:begin]
    within = 0 <= start - stop <= BEFORE if stop <= start else 0 <= begin - end <= AFTER
    return within and not _STOP.search(between)


def _day(found: re.Match[str]) -> str:
    """Year, and day and month in order of size: 5/12 and 12/5 are written for one another. Empty for no date."""
    parts = [int(p) if p.isdecimal() else _month(p) for p in found.groups()]
    year, low, high = max(parts), *sorted(parts)[:2]
    return f"{year} {low} {high}" if day_exists(year, low, high) or day_exists(year, high, low) else ""


def _month(name: str) -> int:
    return 1 + next(i for i, begins in enumerate(MONTHS) if re.match(begins, name, re.I))
