"""What is left of a text when only its likeness to other texts may be known.

One-bit MinHash (Broder 1997; Li and König 2010, "b-bit minwise hashing"): each of `SIZE` hash functions picks one of the
word 3-grams of a text, the one with the smallest hash, and one bit of that hash is kept. Two texts with the Jaccard
similarity J agree in a bit with probability (1 + J) / 2, so that the mean product of their bits, taken as ±1, is J within
√((1 - J²) / SIZE). A bit is as good as a coin for whoever wants to know whether a text holds a given 3-gram.
"""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Any

from unteach.data.fold import grams

SIZE = 512  # bits a text
_BIT = 31  # of a hash: neither among the high ones, which are 0 in what is smallest, nor among the low ones


def sketches(texts: Sequence[str], salt: bytes, size: int = SIZE) -> Any:
    """The first `size` bits of each folded text as ±1: an array of shape (texts, size)."""
    import numpy as np

    every = [[_hash(" ".join(gram), salt) for gram in grams(text)] for text in texts]
    starts = [0, *accumulate(len(found) for found in every)][:-1]
    hashes = np.array([value for found in every for value in found], dtype=np.uint64)
    signs = np.empty((len(texts), size), dtype=np.float32)
    for number in range(size):
        mask, factor = _hash(f"mask {number}", salt), _hash(f"factor {number}", salt) | 1
        mixed = (hashes ^ np.uint64(mask)) * np.uint64(factor)
        smallest = np.minimum.reduceat(mixed, starts)
        signs[:, number] = 2.0 * ((smallest >> np.uint64(_BIT)) & np.uint64(1)) - 1.0
    return signs


def packed(signs: Any) -> list[str]:
    """Each row of signs as hexadecimal digits."""
    import numpy as np

    return [row.tobytes().hex() for row in np.packbits(signs > 0, axis=1)]


def unpacked(rows: Sequence[str]) -> Any:
    """The signs of packed rows."""
    import numpy as np

    bits = [np.unpackbits(np.frombuffer(bytes.fromhex(row), dtype=np.uint8)) for row in rows]
    return 2.0 * np.array(bits, dtype=np.float32) - 1.0


def _hash(text: str, salt: bytes) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), key=salt, digest_size=8).digest(), "big")
