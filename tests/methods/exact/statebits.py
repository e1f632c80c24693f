"""States and what they release as bytes, so that two of them can be compared to the last bit; and rows to learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass

import numpy as np

from unteach.lm.heads import Table


def bits_of(thing: object) -> object:
    """Everything that a state holds, arrays as bytes with their kind and shape, mappings in their own order."""
    if isinstance(thing, np.ndarray):
        return thing.dtype.str, thing.shape, thing.tobytes()
    if is_dataclass(thing):
        return type(thing).__name__, *(bits_of(getattr(thing, f.name)) for f in fields(thing))
    if isinstance(thing, Mapping):
        return tuple((bits_of(key), bits_of(value)) for key, value in thing.items())
    if isinstance(thing, tuple | list):
        return tuple(bits_of(part) for part in thing)
    return type(thing).__name__, repr(thing)


def table(n: int = 40, d: int = 5, classes: int = 3, seed: int = 0) -> Table:
    """Rows about a centre for each class, of all magnitudes, under ids that tell nothing."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    x = rng.normal(size=(classes, d))[y] * 3 + rng.normal(size=(n, d)) * 10.0 ** rng.integers(-3, 2, d)
    return Table(tuple(f"row-{i}" for i in rng.permutation(n)), x, y)


def requests(ids: Sequence[str], seed: int) -> list[list[str]]:
    """Some of the ids, in batches of one to three, in any order."""
    rng = np.random.default_rng([seed, 1])
    chosen = list(rng.permutation(list(ids))[: rng.integers(1, max(2, len(ids) // 2))])
    found = []
    while chosen:
        size = int(rng.integers(1, 4))
        found.append([str(i) for i in chosen[:size]])
        chosen = chosen[size:]
    return found
