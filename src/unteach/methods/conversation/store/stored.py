"""A store as it is asked: the passages that lie nearest to a question."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unteach.measure import nearness
from unteach.methods.conversation.store import disk, tombstones
from unteach.methods.conversation.store.chunks import Chunk, chunks
from unteach.methods.conversation.store.index import Find, finder
from unteach.methods.conversation.store.vectors import vector
from unteach.schema import InputError

TRIES = 5  # times that a store is read which changes meanwhile
OVER = 8  # rows that an index is asked for beyond those wanted, before they are put in order here


class Found(NamedTuple):
    """A passage, the document it is of, and how near it is to what was asked."""

    document: str
    text: str
    score: float


@dataclass(frozen=True, eq=False, repr=False)
class Store:
    """Passages with their vectors. `deleted` says how many documents the store remembers to have deleted."""

    chunks: tuple[Chunk, ...]
    rows: NDArray[np.float32]
    index: str
    embedder: str
    deleted: int

    @cached_property
    def find(self) -> Find | None:
        return finder(self.index, self.rows)

    def nearest(self, text: str, k: int, near: float = -1.0) -> tuple[Found, ...]:
        """The `k` passages whose cosine with a text is largest, if it is `near` or more; ties in the order of ids.

        A score depends on the text and the passage alone.
        """
        if not self.chunks or not k:
            return ()
        asked = vector(text, self.embedder)
        numbers = np.arange(len(self.rows)) if self.find is None else np.sort(self.find(asked, k + OVER))
        rows = self.rows if self.find is None else self.rows[numbers]
        scores = (rows * asked).sum(axis=1)
        best = [n for n in np.argsort(-scores, kind="stable")[:k] if scores[n] >= near]
        return tuple(Found(c.document, c.text, float(scores[n])) for n in best for c in [self.chunks[numbers[n]]])


_OPEN: dict[tuple[str, str], tuple[object, Store]] = {}  # one store a folder: the last one read


def opened(folder: str | Path, embedder: str = "") -> Store:
    """The store in a folder as it is now; it is read again when it has changed.

    What its tombstones hold is left out, whatever the other files say. `embedder` is the folder of the model that made
    the vectors, where one did.
    """
    place, key = Path(folder), (str(folder), embedder)
    for _ in range(TRIES):
        now = disk.stamp(place)
        kept = _OPEN.get(key)
        if kept and kept[0] == now:
            return kept[1]
        _OPEN.pop(key, None)
        try:
            found = _read(place, embedder)
        except FileNotFoundError:  # another process changed it between two steps
            continue
        if disk.stamp(place) == now:
            _OPEN[key] = (now, found)
            return found
    raise InputError(f"{place}: the store lacks a file that its manifest names; put it back, or build the store anew")


def forgotten() -> None:
    """Let go of every store and text that this process keeps at hand."""
    _OPEN.clear()
    nearness.index.cache_clear()
    nearness.grams.cache_clear()


def _read(place: Path, embedder: str) -> Store:
    content, gone = disk.read(place), tombstones.read(place)
    fit(content.settings, embedder)
    parts = [(gone.hold(d), chunk) for d in content.documents for chunk in chunks(d, content.settings.length)]
    if len(parts) != len(content.rows):
        raise InputError(f"{place}: the store has more or fewer vectors than passages; build it anew")
    left = np.array([not held for held, _ in parts], dtype=bool)
    rows = content.rows[left] if len(parts) else content.rows
    return Store(
        tuple(chunk for held, chunk in parts if not held), rows, content.settings.index, embedder, len(gone.hashes)
    )


def fit(settings: disk.Settings, embedder: str) -> None:
    """Refuse another model than the one that made a store's vectors."""
    if settings.embedder and not embedder:
        raise InputError(
            f"the store's vectors are those of the model '{settings.embedder}'; name its folder with embedder=FOLDER"
        )
    if named(embedder) != settings.embedder:
        raise InputError(
            "the store's vectors are not those of this embedder; leave it out, or name the one they are of"
        )


def named(embedder: str) -> str:
    """A model's name: that of its folder, wherever that lies."""
    return Path(embedder).resolve().name if embedder else ""
