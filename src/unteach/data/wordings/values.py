"""The values that a text holds and where: addresses, telephone numbers, dates, years, numbers, titles, names.

Rules, no model. Names are runs of capitalised words, so scripts without capitals have none here, and in German every
noun is one.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from unteach.data.wordings.vocabulary import FUNCTION, words

Kind = Literal["mail", "phone", "date", "year", "number", "count", "title", "name"]
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
YEARS = range(1000, 2100)

_MONTH = "|".join(MONTHS)
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("mail", re.compile(r"[\w+-]+(?:\.[\w+-]+)*@[\w-]+(?:\.[\w-]+)+")),
    ("title", re.compile(r"[\"“](?P<value>[^\"“”\n]{2,100}?)[,.]?[\"”]|(?<!\w)[‘'](?P<single>[^\W\da-z_](?:[^'‘’\n]|['’](?=\w)){1,100}?)[,.]?['’](?!\w)")),
    ("date", re.compile(
        rf"(?<!\d)(?:\d{{4}}-\d\d-\d\d|\d{{1,2}}[./]\d{{1,2}}[./]\d{{4}}|\d{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{_MONTH}),? \d{{4}}"
        rf"|(?:{_MONTH}) \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|(?:{_MONTH}) \d{{1,2}}(?:st|nd|rd|th)?)(?!\d)")),
    ("phone", re.compile(r"(?<![\w.])\+?\(?\d{1,4}\)?(?:[ -]?\(?\d{2,5}\)?){2,5}(?![\w@]|\.\d)")),
    ("number", re.compile(r"(?<![\w.#])\d{1,3}(?:[,\u202f\u00a0]\d{3})+(?:\.\d+)?(?!\w)|(?<![\w.#])\d+(?:[.,]\d+)?(?!\w|[.,-]\d)")),
    ("count", re.compile(rf"\b(?:{'|'.join(COUNTS)})\b", re.IGNORECASE)),
)  # fmt: skip
_TOKEN = re.compile(r"(?<!\w)[^\W\d_]\.(?=\s?\w)|[^\W\d_]+(?:['’\-‑/&][^\W\d_]+)*|\S")
_POSSESSIVE = re.compile(r"['’]s?$")
_LINKS = frozenset(("of", "de", "la", "le", "du", "da", "do", "di", "van", "von", "der", "den", "al", "bin", "ibn"))
_ENDS = frozenset(".!?…。！？\n:")


@dataclass(frozen=True, repr=False)
class Value:
    """Characters `start` to `end` (exclusive) of a text."""

    kind: Kind
    start: int
    end: int
    text: str


def values(text: str, known: Collection[str] = ()) -> tuple[Value, ...]:
    """Everything of a kind that can be exchanged, in the order of the text; `known` are words that are names."""
    found: list[Value] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            group = next((name for name, part in match.groupdict().items() if part is not None), 0)
            start, end = match.span(group)
            if not _taken(found, start, end) and (kind != "phone" or sum(c.isdigit() for c in match[0]) >= 7):
                found.append(Value(_kind(kind, match[0]), start, end, text[start:end]))
    names = (v for v in _names(text, known) if not _taken(found, v.start, v.end))
    return tuple(sorted([*found, *names], key=lambda v: v.start))


def names(text: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """The names and titles of a text, each once, in its order."""
    return tuple(dict.fromkeys(v.text for v in values(text, known) if v.kind in ("name", "title")))


def _taken(found: list[Value], start: int, end: int) -> bool:
    return any(v.start < end and start < v.end for v in found)


def _kind(kind: Kind, written: str) -> Kind:
    return "year" if kind == "number" and written.isdigit() and len(written) == 4 and int(written) in YEARS else kind


def _names(text: str, known: Collection[str]) -> Iterator[Value]:
    """Runs of capitalised words. One alone at the start of a sentence may be any word, unless it is known."""
    run: list[re.Match[str]] = []
    links = 0
    opens = opening = True
    for token in [*_TOKEN.finditer(text), None]:
        written = token[0] if token else ""
        if token and written[0].isupper() and _continues(run, text, token.start()) and _may_be(written, run, opening):
            opens = opening if not run else opens
            run, links = [*run, token], 0
            if _POSSESSIVE.search(written):
                yield from _run(text, run, opens, known)
                run = []
        elif token and run and written in _LINKS and _continues(run, text, token.start()):
            run, links = [*run, token], links + 1
        else:
            yield from _run(text, run[: len(run) - links], opens, known)
            run, links = [], 0
            if token and written[0].isupper() and _may_be(written, run, opening):
                opens, run = opening, [token]
        opening = written in _ENDS or (opening and not written[:1].isalnum())


def _continues(run: list[re.Match[str]], text: str, start: int) -> bool:
    return not run or text[run[-1].end() : start] in (" ", "\u00a0", "")


def _may_be(written: str, run: list[re.Match[str]], opening: bool) -> bool:
    """Whether a capitalised word can be part of a name: at the start of a sentence no function word is."""
    small = _POSSESSIVE.sub("", written).casefold()
    return written != "I" and not written.startswith(("I'", "I’")) and not (opening and not run and small in FUNCTION)


def _run(text: str, run: list[re.Match[str]], opens: bool, known: Collection[str]) -> Iterator[Value]:
    if not run:
        return
    start, end = run[0].start(), run[-1].end()
    written = _POSSESSIVE.sub("", text[start:end])
    alone = opens and len(run) == 1 and not set(words(written)) & set(known)
    if not alone and len(written) > 1:
        yield Value("name", start, start + len(written), written)
