"""Telephone numbers: international, national, and any number beside a word for telephone."""

import re
from collections.abc import Iterator

from unteach.data.personal.piece import Piece

_BEFORE = r"(?<![0-9A-Za-z_+])(?<!\d[.,/-])(?<!\bISBN[ :-])(?<!\bISBN: )"
_SEP = r"(?:\)?(?: - |[ ./-])?\(?)"
_AFTER = r"(?![0-9A-Za-z_]|[.,]\d)"
_WORD = (
    r"(?:\b(?:tel|telephone|phone|mobile|cell|cellphone|fax|call|dial|ring|text|whatsapp|telegram|contact|telefon\w*|handy\w*|"
    r"mobil\w*|rufnummer|anrufen|ruf|teléfono|telefono|móvil|celular|llam\w+|portable|appel\w*|téléphone|cellulare|chiam\w+|"
    r"telefone|telemóvel|telefoon|тел|телефон\w*|моб\w*|звон\w+|факс)\b|电话|電話|手机|手機|携帯|전화|휴대폰|هاتف|جوال|טלפון|फ़ोन|फोन|"
    r"फ़ोन|मोबाइल|โทร)"
)

INTERNATIONAL = re.compile(rf"{_BEFORE}(?:\+ ?|00)\(?[1-9](?:{_SEP}\d){{6,14}}{_AFTER}")
NATIONAL = tuple(
    re.compile(_BEFORE + shape + _AFTER)
    for shape in (
        r"(?:1[ .-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])\d{3}[ .-]\d{4}",  # North America
        r"1?[2-9]\d\d ?[2-9]\d\d-\d{4}",
        r"\(?0[1-9]\d{0,4}\)?(?: - |[ /-])?(?:\d{2,8}[ -]){0,4}\d{2,8}",  # with the trunk digit 0: Europe, Asia, Australia
        r"0[1-9](?:\.\d\d){4}",
        r"8 ?\(\d{3,5}\) ?\d{1,3}-\d\d-\d\d",  # Russia
        r"8[ -]?9\d\d[ -]?\d{3}[ -]?\d\d[ -]?\d\d",
        r"1[3-9]\d ?\d{4} ?\d{4}",  # China
        r"[6-9]\d{4}[ -]\d{5}",  # India
        r"\([1-9]\d\) ?9?\d{4}-\d{4}",  # Brazil
    )
)
_DATE = re.compile(  # or from year to year
    r"\(?(?:\d{1,2}[ ./-]\d{1,2}[ ./-](?:1[89]|20)\d\d|(?:1[0-9]|20)\d\d(?: - |[ ./-])(?:1[0-9]|20)\d\d)(?!\d)"
)
BESIDE = re.compile(rf"{_WORD}[^\d\n]{{0,24}}?(?<![0-9A-Za-z_.,])(?=(\(?\d(?:{_SEP}\d){{5,14}}{_AFTER}))", re.I)
TRUNK_DIGITS = range(9, 13)  # of a number that begins with 0


def international(text: str) -> Iterator[Piece]:
    """Numbers of 7 to 15 digits that begin with `+` or `00`. ITU-T E.164."""
    for found in INTERNATIONAL.finditer(text):
        if 7 <= len(_digits(found[0])) - 2 * found[0].startswith("00") <= 15:
            yield _piece(text, *found.span())


def national(text: str) -> Iterator[Piece]:
    """Numbers as they are written in several countries, and any of 6 to 15 digits behind a word for telephone."""
    for pattern in NATIONAL:
        for found in pattern.finditer(text):
            begins = found[0].lstrip("(")[0] == "0"
            if not _DATE.match(found[0]) and (not begins or len(_digits(found[0])) in TRUNK_DIGITS):
                yield _piece(text, *found.span())
    for found in BESIDE.finditer(text):
        if not _DATE.match(found[1]):
            yield _piece(text, *found.span(1))


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _piece(text: str, start: int, end: int) -> Piece:
    """`+` and `00` are written for one another, and a trunk digit in brackets is left out."""
    start += text[start] == "(" and ")" not in text[start:end]  # the bracket of a sentence
    written = text[start:end].replace("(0)", "")
    digits = _digits(written)
    if written.startswith("+"):
        return Piece("PHONE", start, end, f"+{digits}")
    return Piece("PHONE", start, end, f"+{digits[2:]}" if digits.startswith("00") else digits)
