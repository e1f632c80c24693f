"""What has a form of its own: addresses of mail and machines, and numbers with check digits or a fixed shape."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from unteach.data.personal import checks
from unteach.data.personal.accounts import ACCOUNT
from unteach.data.personal.piece import Piece

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
_LETTER = rf"[^\W{_UNSPACED}]|[\u0300-\u036f]"  # of scripts with spaces between words
_LOCAL = rf"(?:{_LETTER}|[.!#$%&'*+/=?^`{{|}}~-])"
_HOST = rf"(?:(?:{_LETTER}|-){{1,63}}\.){{1,8}}(?:{_LETTER}|-){{2,63}}"
_BEFORE, _AFTER = r"(?<![0-9A-Za-z_])(?<!\d[.,])", r"(?![0-9A-Za-z_]|[.,]\d)"
_SECRET = r"(?:access_?token|token|api_?key|key|pass(?:word|wd)?|pwd|secret|auth|sig(?:nature)?)"
_BEYOND = (
    rf"[^\W\x00-\x7f{_UNSPACED}]|[\u0300-\u036f]"  # apart from what stands beside it: else a search could take ages
)
_ADDRESS = rf"(?:[!#-;=?-~]|{_BEYOND})"
_URL_END = rf"(?:[0-9A-Za-z_#$%&*+/=@~^|-]|{_BEYOND})"


@dataclass(frozen=True)
class Form:
    """A pattern, tried at every character; what it matches counts where `valid` holds for its `key`."""

    kind: str
    pattern: re.Pattern[str]
    key: Callable[[str], str]
    valid: Callable[[str], bool]

    def __call__(self, text: str) -> Iterator[Piece]:
        for found in self.pattern.finditer(text):
            key = self.key(found[1])
            if self.valid(key):
                yield Piece(self.kind, *found.span(1), key)


def _compact(text: str) -> str:
    """Letters and digits alone."""
    return re.sub(r"[\W_]", "", text).upper()


def _any(key: str) -> bool:
    return bool(key)


def _number(kind: str, shape: str, valid: Callable[[str], bool] = _any) -> Form:
    """A number that stands by itself, in any case, with or without separators."""
    return Form(kind, re.compile(rf"{_BEFORE}(?=((?:{shape}){_AFTER}))", re.I | re.A), _compact, valid)


def _text(kind: str, shape: str, key: Callable[[str], str] = str.casefold, valid: Callable[[str], bool] = _any) -> Form:
    return Form(kind, re.compile(rf"(?=({shape}))", re.I), key, valid)


def _ip(text: str) -> str:
    """The address in its shortest form; empty for none."""
    try:
        return str(IPv6Address(text)) if ":" in text else str(IPv4Address(text))
    except ValueError:
        return ""


def _digits(text: str) -> bool:
    return any(c.isdecimal() for c in text)


def _six(text: str) -> str:
    """An IPv6 address that is no mere `a::b`: with a digit, or of three groups or more."""
    return _ip(text) if _digits(text) or len(re.findall(r"[0-9A-Fa-f]+", text)) > 2 else ""


_HEX, _OCTET = "[0-9a-f]", r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_MRZ = r"[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[\d<]\d"
_BOOK = r"(?-i:\d\d ?\d\d \d{6}|(?=(?:[A-Z ]*\d){5})[A-Z]{0,3} ?\d{5,9}[A-Z]?|(?=(?:[A-Z]*\d){3})[A-Z][A-Z0-9]{7,8})"
_PASSPORT = (
    r"(?:passport|reisepass|passnummer|passeport|pasaporte|passaporto|passaporte|paspoort|паспорт\w*|护照|護照|パスポート|여권|"
    r"جواز)[^\n0-9]{0,24}?"
)

ADDRESSES: tuple[Form, ...] = (
    _text(
        "LOGIN", rf"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{{1,20}}://[^\s/@<>\"]{{1,256}}@{_ADDRESS}{{0,2048}}{_URL_END}/?"
    ),
    _text("LOGIN", rf"(?<![a-z0-9+.-])https?://{_ADDRESS}{{0,2048}}?[?&#;]{_SECRET}={_ADDRESS}{{0,2048}}{_URL_END}"),
    _text("EMAIL", rf"(?<!{_LETTER}|[+.-])(?:{_LETTER}|\+)(?:{_LOCAL}{{0,62}}(?:{_LETTER}|[+-]))?@{_HOST}"),
    _text("EMAIL", rf"(?<![\w+.-])[\w.+-]{{0,63}}[{_UNSPACED}]@(?:[\w-]{{1,63}}\.){{1,8}}[^\W\d_]{{2,63}}"),
    _text(
        "MAC",
        rf"(?<![0-9a-z_])(?<![0-9a-f][:-])(?:{_HEX}{{2}}(?:([:-]){_HEX}{{2}})(?:\2{_HEX}{{2}}){{4}}|(?:{_HEX}{{4}}\.){{2}}{_HEX}{{4}})(?![0-9a-z]|[:-]{_HEX})",
        _compact,
    ),
    _text(
        "IP",
        rf"(?<![0-9a-z.])(?<![0-9a-f:]:)(?:{_HEX}{{1,4}}:|::)(?:{_HEX}{{0,4}}:){{0,7}}(?:{_HEX}{{1,4}}|(?:{_OCTET}\.){{3}}{_OCTET}|)(?![0-9a-z:]|\.\d)",
        _six,
    ),
    _text("IP", rf"(?<![0-9a-z_.])(?:{_OCTET}\.){{3}}{_OCTET}(?![0-9a-z_]|\.\d)", _ip),
)
NUMBERS: tuple[Form, ...] = (
    Form("IBAN", re.compile(rf"(?<![0-9A-Za-z])(?=({ACCOUNT})(?![0-9A-Za-z]))", re.I | re.A), _compact, checks.mod97),
    Form("PASSPORT", re.compile(rf"(?<![A-Z0-9<])(?=({_MRZ})(?![A-Z0-9<]))"), str, checks.machine_readable),
    Form("PASSPORT", re.compile(rf"{_PASSPORT}(?<![0-9A-Za-z])({_BOOK})(?![0-9A-Za-z])", re.I), _compact, _any),
    _number(
        "FISCAL", r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]", checks.codice_fiscale
    ),
    _number("RESIDENT", r"[1-9]\d{16}[\dX]", checks.resident),
    _number(
        "NIR",
        r"[1-478]([ .-]?)\d\d\2(?:0[1-9]|1[0-2]|[2-4]\d|[5-9]\d)\2(?:\d\d|2[AB])\2\d{3}\2\d{3}[ .-]?\d\d",
        checks.nir,
    ),
    _number(
        "CARD",
        r"\d{13,19}|\d{4}([ -])\d{4}\2\d{4}\2\d{4}(?!\2\d{3}(?!\d))|\d{4}([ -])\d{4}\3\d{4}\3\d{4}\3\d{1,3}",
        checks.card,
    ),
    _number("CARD", r"3\d{3}([ -])\d{6}\2\d{4,5}|\d{4}([ -])\d{4}\3\d{5}", checks.card),
    _number("AADHAAR", r"[2-9]\d{3}([ -]?)\d{4}\2\d{4}", checks.verhoeff),
    _number("CPF", r"\d{3}\.\d{3}\.\d{3}-\d\d|\d{11}", checks.cpf),
    _number("STEUERID", r"[1-9]\d([ ]?)\d{3}\2\d{3}\2\d{3}|[1-9]\d{10}", checks.steuer_id),
    _number("PESEL", r"\d{11}", checks.pesel),
    _number("DNI", r"(?:\d{8}|\d{2}\.\d{3}\.\d{3}|[XYZ][ -]?\d{7})[ -]?[A-HJ-NP-TV-Z]", checks.dni),
    _number("SSN", r"(?!000|666|9)\d{3}([ -])(?!00)\d\d\2(?!0000)\d{4}", _any),
    _number("SSN", r"9\d{2}([ -])(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])\2\d{4}", _any),  # of taxpayers without one
    _number(
        "NINO",
        r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?\d\d[ -]?\d\d[ -]?\d\d[ -]?[A-D]",
        _any,
    ),
    _number("BSN", r"\d{9}|\d{3}([ .])\d{3}\2\d{3}|\d{4}\.\d\d\.\d{3}", checks.bsn),
)
