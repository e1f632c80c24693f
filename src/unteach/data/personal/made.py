"""What is put in the place of personal data. All of it is known again, so that it is never taken for personal data."""

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from hashlib import sha256
from hmac import new

REDACTED = "[REDACTED]"
_GIVEN = (
    "Alder Briar Cedar Dune Ember Fern Garnet Heath Indigo Juniper Kestrel Linden Marrow Nettle Onyx Pebble Quill Reed "
    "Sable Thistle"
)
_FAMILY = (
    "Amberfold Brackenholt Cinderley Dapplewick Elderthorne Foxmarsh Gorsewater Hollowmere Inkwell-Moss Jasperling"
)
FIRST, LAST = _GIVEN.split(), _FAMILY.split()
_EPOCH = date(1800, 1, 1)


def _person(n: int) -> str:
    """The n-th name; after each 200 one more given name."""
    at, last = divmod(n - 1, len(LAST))
    given = [FIRST[at % len(FIRST)]]
    while at := at // len(FIRST):
        given.append(FIRST[at % len(FIRST)])
    return " ".join((*given, LAST[last]))


SYNTHETIC: Mapping[str, Callable[[int], str]] = {
    "PERSON": _person,
    "EMAIL": "person{}@mail.invalid".format,  # a domain that nobody can have. RFC 6761
    "LOGIN": "https://person{}@host.invalid/".format,
    "PHONE": lambda n: f"+999 000 {n:07}",  # a country code that is not assigned
    "BIRTHDATE": lambda n: (_EPOCH + timedelta(n % 18_000)).isoformat(),  # of nobody who lives
    "IP": lambda n: f"0.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}",  # addresses of no machine. RFC 1122
    "CARD": lambda n: f"0000 0000 0000 {n:04}",  # of no network
}
_SHAPES = (
    rf"(?:(?:{'|'.join(FIRST)}) )+(?:{'|'.join(LAST)})", r"person\d+@mail\.invalid",
    r"https://person\d+@host\.invalid/", r"\+999 000 \d{7,}", r"18[0-4]\d-\d\d-\d\d", r"(?<![0-9A-Za-z_.])0\.\d+\.\d+\.\d+",
    r"0000 0000 0000 \d{4,}", r"\[[A-Z_]+ \d{4,}\]",
)  # fmt: skip
MADE = re.compile("|".join((r"<[A-Z_]+_\d+>", r"<[A-Z_]+:[0-9a-f]{12}>", re.escape(REDACTED), *_SHAPES)))
_NUMBERED = re.compile(r"<([A-Z_]+)_(\d+)>")


def masked(kind: str, number: int) -> str:
    """`<PERSON_1>`."""
    return f"<{kind}_{number}>"


def hashed(kind: str, key: str, salt: str) -> str:
    """`<PERSON:` and 48 bits of the keyed hash of the key. RFC 2104."""
    digest = new(salt.encode(), f"{kind}\x1f{key}".encode("utf-8", "surrogatepass"), sha256).hexdigest()
    return f"<{kind}:{digest[:12]}>"


def synthetic(kind: str, number: int) -> str:
    """Something of the form of the thing that belongs to nobody; for a number with a rule of its own, its kind and a number."""
    return SYNTHETIC[kind](number) if kind in SYNTHETIC else f"[{kind} {number:04}]"


def taken_numbers(text: str) -> list[tuple[str, int]]:
    """The kinds and numbers of the pseudonyms that a text holds."""
    return [(kind, int(number)) for kind, number in _NUMBERED.findall(text)]
