"""Chance that depends on nothing but the seed, the purpose and the record."""

from collections.abc import Iterable
from hashlib import sha256


def lot(*parts: object) -> int:
    """64 random bits of the parts: neither the order of the rows nor their number plays a role."""
    return int.from_bytes(sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()[:8], "big")


def shuffled(texts: Iterable[str], *parts: object) -> list[str]:
    """Each text once, in an order drawn from the parts."""
    return sorted(set(texts), key=lambda text: (lot(*parts, text), text))
