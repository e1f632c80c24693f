"""What stands encoded in a text: base64, base32, hexadecimal and binary digits, codes of characters, morse."""

import re
from base64 import b32decode
from binascii import a2b_base64, unhexlify
from codecs import encode
from collections.abc import Callable, Iterator, Mapping

DEPTH, MOST, LENGTH = 3, 64, 1 << 16  # layers; texts that one text is decoded to; characters that are decoded at all
MORSE = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
)
_DIGITS, _SIGNS = re.compile(r"\d\d"), re.compile(r"[.·•-][\s/|]+[.·•-]")  # without which there is none, said sooner
_URLS = str.maketrans("-_", "+/", "\r\n")
_LETTER = dict(zip(MORSE.split(), "abcdefghijklmnopqrstuvwxyz0123456789", strict=True))
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}(?:\r?\n[A-Za-z0-9+/_-]{2,})*={0,2}")
_BASE32 = re.compile(r"[A-Za-z2-7]{8,}={0,6}")
_HEX = re.compile(r"(?:(?:0x|\\x|[=%])?[0-9a-fA-F]{2}[\s:,;]*){3,}")
_BINARY = re.compile(r"(?:[01]{8}[\s,;]*){2,}")
_CODES = re.compile(r"(?:\d{2,3}[\s,;]+){2,}\d{2,3}")
_MORSE = re.compile(r"(?:[.·•-]{1,5}[\s/|]+){2,}[.·•-]{1,5}")


def decoded(text: str) -> Iterator[str]:
    """What a text hides, layer by layer; each layer may also be written backwards, or rotated by 13 letters."""
    seen, layer, room = {text}, [text[:LENGTH]], MOST
    for _ in range(DEPTH):
        found = list[str]()
        for outer in layer:
            for turned in (outer, outer[::-1], encode(outer, "rot13")):
                found += [inner for decode in DECODERS.values() if (inner := decode(turned)) and inner not in seen]
        layer = list(dict.fromkeys(found))[:room]
        seen |= set(layer)
        room -= len(layer)
        yield from layer


def _text(octets: bytes) -> str:
    """Octets that are a text; nothing where they are none."""
    shown = octets.decode("utf-8", "replace")
    if 10 * shown.count("\ufffd") >= len(shown):  # most of what is none, in a moment
        return ""
    return shown if sum((c.isprintable() and c != "\ufffd") or c.isspace() for c in shown) > 0.9 * len(shown) else ""


def _each(
    pattern: re.Pattern[str], decode: Callable[[str], bytes], first: re.Pattern[str] | None = None
) -> Callable[[str], str]:
    """Decodes all that a pattern finds in a text, which holds what `first` finds too."""

    def within(text: str) -> str:
        found = list[str]()
        if first is not None and not first.search(text):
            return ""
        for written in dict.fromkeys(match[0] for match in pattern.finditer(text)):
            try:
                found.append(_text(decode(written)))
            except ValueError:  # no such encoding after all
                continue
        return "\n".join(filter(None, found))

    return within


def _base64(written: str) -> bytes:
    plain = written.translate(_URLS).rstrip("=")
    plain = plain[: len(plain) - (len(plain) % 4 == 1)]
    return a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)


def _base32(written: str) -> bytes:
    plain = written.rstrip("=")
    return b32decode(plain + "=" * (-len(plain) % 8), casefold=True)


def _hex(written: str) -> bytes:
    digits = re.sub(r"0x|\\x|[^0-9a-f]", "", written, flags=re.IGNORECASE)
    return unhexlify(digits)


def _binary(written: str) -> bytes:
    return bytes(int(octet, 2) for octet in re.findall("[01]{8}", written))


def _codes(written: str) -> bytes:
    return bytes(int(code) for code in re.findall(r"\d+", written))


def _morse(written: str) -> bytes:
    words = re.split(r"\s*[/|]\s*|\s{2,}", written.translate(str.maketrans("·•", "..")))
    return " ".join("".join(_LETTER.get(sign, "") for sign in word.split()) for word in words).encode()


DECODERS: Mapping[str, Callable[[str], str]] = {
    "base64": _each(_BASE64, _base64),
    "base32": _each(_BASE32, _base32),
    "hexadecimal digits": _each(_HEX, _hex),
    "binary digits": _each(_BINARY, _binary, _DIGITS),
    "codes of characters": _each(_CODES, _codes, _DIGITS),
    "morse": _each(_MORSE, _morse, _SIGNS),
}
