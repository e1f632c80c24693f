"""Personal data in a text, found by its form, and whether another text gives it away.

E-mail addresses, links, account and card numbers (whose check digits must be right), telephone and other numbers,
and dates beside a word for being born. What has no form of its own, such as a name or a street, is not found. Both
texts are compared in compatibility forms, without regard to case, and numbers by their digits alone.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from unteach.data.personal.checks import luhn, mod97

Kind = Literal["e-mail", "link", "account number", "card number", "phone number", "number", "date of birth"]

EMAIL = re.compile(r"(?<!\w)\w[\w.+-]{0,63}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"')\]]+|(?<![\w@.-])[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[a-z]{2,63}/[^\s<>\"')\]]+"
)
ADDRESSES: tuple[tuple[Kind, re.Pattern[str]], ...] = (("e-mail", EMAIL), ("link", LINK))
ACCOUNT = re.compile(r"\b[a-z]{2}\d{2}(?:(?: [a-z0-9]{4}){2,7}(?: [a-z0-9]{1,3})?|[a-z0-9]{11,30})\b")
NUMBER = re.compile(r"(?<!\w)[a-z]{0,3}\+?\(?\d(?:[ ().\-/]{0,2}\d)*[a-z]{0,2}(?!\w)")
RUN = re.compile(r"\d(?:[ ().\-/]{0,2}\d)*")
HARMLESS = re.compile(  # from year to year, and decimals
    r"(?<!\d)(?<!\d[-/ ])(?:1[5-9]|20)\d\d ?[-/] ?(?:1[5-9]|20)\d\d(?![-/ ]?\d)|(?<![\w.+(-])\d+\.\d+(?![.\- /]?\d)"
)
LEAST_DIGITS = 7  # of a telephone number; fewer are too often something else
CARD_DIGITS, PHONE_DIGITS = range(13, 20), range(7, 16)

BORN = re.compile(
    r"\b(?:born|birth\w*|dob|geboren\w*|geburt\w*|née?|naissance|naci[dó]\w*|nacimiento|cumpleaños|nat[oa]|nascita|"
    r"nascid[oa]|nascimento|роди\w+|рожд\w+)\b|出生|生日|生于|生まれ|誕生"
)
MONTHS = (
    "jan|ene|gen|янв", "feb|fév|fev|фев", "mar|mär|мар", "apr|avr|abr|апр", "may|mai|mag|май|мая", "jun|juin|giu|июн",
    "jul|juil|lug|июл", "aug|aoû|aou|ago|авг", "sep|set|сен", "oct|okt|ott|out|окт", "nov|ноя", "dec|dez|déc|dic|дек",
)  # fmt: skip
_NAMED = r"((?:" + "|".join(MONTHS) + r")[^\W\d_]*)"
_YEAR = r"((?:18|19|20)\d\d)(?!\d)"
DATES = (
    re.compile(rf"(?<!\d){_YEAR} ?[-./年] ?(\d{{1,2}}) ?[-./月] ?(\d{{1,2}})(?!\d)"),
    re.compile(rf"(?<!\d)(\d{{1,2}}) ?[-./] ?(\d{{1,2}}) ?[-./] ?{_YEAR}"),
    re.compile(rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|º|\.)?(?: of| de)? {_NAMED}\.?,?(?: of| de| del)? {_YEAR}"),
    re.compile(rf"\b{_NAMED}\.? (\d{{1,2}})(?:st|nd|rd|th)?,? {_YEAR}"),
)


@dataclass(frozen=True)
class Piece:
    """One piece of personal data in the form in which it is compared."""

    kind: Kind
    value: str = field(repr=False)


def folded(text: str) -> str:
    """Compatibility forms, no case, one space for any white space, ASCII digits, no invisible characters."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    shown = (c for c in plain if unicodedata.category(c) != "Cf")
    return " ".join("".join(str(unicodedata.decimal(c, c)) for c in shown).split())


def personal(text: str, *, asked: str = "") -> frozenset[Piece]:
    """The pieces of personal data in an answer; a date counts where it or the question is about a birth."""
    return frozenset(_pieces(folded(text), bool(BORN.search(folded(f"{asked} {text}")))))


def _pieces(text: str, birth: bool) -> Iterator[Piece]:
    """Each kind takes its characters out of the text, so that none is found as another too."""
    for kind, pattern in ADDRESSES:
        yield from (Piece(kind, _bare(found[0])) for found in pattern.finditer(text))
        text = pattern.sub(" | ", text)
    for found in ACCOUNT.finditer(text):
        if account := _account(found[0]):
            yield Piece("account number", account.replace(" ", ""))
            text = text.replace(account, "|")
    for date in DATES:
        yield from (Piece("date of birth", d) for m in date.finditer(text) if birth and (d := _date(m)))
        text = date.sub(lambda m: "|" if _date(m) else m[0], text)
    for found in NUMBER.finditer(HARMLESS.sub("|", text)):
        if len(digits := _digits(found[0])) >= LEAST_DIGITS:
            yield Piece(_kind(found[0], digits), digits)


def _bare(link: str) -> str:
    return re.sub(r"^(?:https?://)?(?:www\.)?", "", link).rstrip("/.,;:!?")


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _account(text: str) -> str:
    """The longest beginning, by groups, that is an international account number. ISO 13616."""
    groups = text.split(" ")
    whole = (" ".join(groups[:k]) for k in range(len(groups), 0, -1))
    return next((a for a in whole if is_account(a)), "")


def is_account(text: str) -> bool:
    """Whether an international bank account number has the right check digits (ISO 7064, modulo 97)."""
    bare = text.replace(" ", "").casefold()
    if not re.fullmatch(r"[a-z]{2}\d{2}[a-z0-9]{11,30}", bare):
        return False
    return mod97(bare)


def is_card(digits: str) -> bool:
    """Whether a payment card number has the right check digit. Luhn 1960."""
    if len(digits) not in CARD_DIGITS or not digits.isdecimal() or digits[0] == "0":
        return False
    return luhn(digits)


def _kind(text: str, digits: str) -> Kind:
    if is_card(digits):
        return "card number"
    written = re.search(r"[ ().\-/+]", text.strip(" ()")) or text.startswith(("+", "(", "0"))
    return "phone number" if written and len(digits) in PHONE_DIGITS and text[-1:].isdigit() else "number"


def _date(found: re.Match[str]) -> str:
    """Year, and day and month in order of size: 5/12 and 12/5 are written for one another. Empty for no date."""
    parts = [_month(p) if not p.isdecimal() else int(p) for p in found.groups()]
    year, low, high = max(parts), *sorted(parts)[:2]
    return f"{year} {low} {high}" if 1 <= low <= 12 and high <= 31 else ""


def _month(name: str) -> int:
    return 1 + next(i for i, begins in enumerate(MONTHS) if re.match(begins, name))


def tells(text: str, piece: Piece) -> bool:
    """Whether a text holds a piece of personal data."""
    said, value = folded(text), piece.value
    if piece.kind == "date of birth":
        return any(_date(found) == value for date in DATES for found in date.finditer(said))
    if piece.kind == "account number":
        return value in re.sub(r"[ -]", "", said)
    if piece.kind in ("e-mail", "link"):
        return re.search(rf"(?<![\w.+-]){re.escape(value)}(?![\w-]|\.\w)", said.replace("www.", " ")) is not None
    runs = [_digits(found[0]) for found in RUN.finditer(said)]
    return any(value in run or (piece.kind == "phone number" and _same_line(value, run)) for run in runs)


def _same_line(first: str, second: str) -> bool:
    """Whether one telephone number is the other without the code of its country or area."""
    short, long = sorted((first.lstrip("0"), second.lstrip("0")), key=len)
    return len(short) >= LEAST_DIGITS and long.endswith(short)
