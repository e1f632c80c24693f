"""One form of bytes for one JSON value (RFC 8785), and a reader that takes no other form."""

import json
from typing import Any, NoReturn

import rfc8785

from unteach.schema import InputError

DIGEST = r"^[0-9a-f]{64}$"
TOKEN = r"^[A-Za-z0-9][A-Za-z0-9._:/+@=-]{0,199}$"  # a name, a number, an opaque id: never a sentence
MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?(Z|[+]00:00)$"
SAFE = 2**53 - 1  # the whole numbers that every reader of JSON tells apart


class Rejected(InputError):
    """What is signed or chained is not what was written: it was altered or cut, or somebody else made it."""


def canonical(value: Any) -> bytes:
    """The bytes of a JSON value by RFC 8785: keys sorted, no spaces, numbers in their shortest form."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError):
        raise InputError("a value has no form in JSON; give finite numbers, text, lists and mappings") from None


def parse(data: bytes, what: str) -> Any:
    """The value of canonical bytes; anything that would be written otherwise is rejected.

    So are keys that stand twice, spaces, other forms of a number or of a letter, and what follows the value.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse, parse_int=_whole)
        same = canonical(value) == data
    except (ValueError, RecursionError, InputError):
        raise Rejected(f"{what} is not JSON, or damaged; take an undamaged copy") from None
    if not same:
        raise Rejected(f"{what} is not in canonical form, so it is not what was signed; take an undamaged copy")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _whole(digits: str) -> float:
    value = int(digits)
    return value if abs(value) <= SAFE else float(value)
