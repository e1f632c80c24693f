"""Documents that come into a store, and documents that leave it with everything that was made of them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unteach.data.documents import Document, checked
from unteach.data.fold import fold
from unteach.data.near import index, near_to
from unteach.methods.conversation.store import disk, tombstones
from unteach.methods.conversation.store.chunks import Chunk, chunks, sentences
from unteach.methods.conversation.store.index import INDEXES
from unteach.methods.conversation.store.stored import Store, fit, forgotten, named, opened
from unteach.methods.conversation.store.vectors import vectors
from unteach.report import atomic
from unteach.schema import Guarantee, InputError, Record

LEAST = 5  # words of a text that a document can be known by
CLAIM = (
    "The files of the store, its ledger of deletions apart, equal byte for byte those of a store that was built without "
    "the deleted documents, and so do the passages that it finds and their scores. Of this store alone: not of what a "
    "model has learned, nor of copies, backups and logs elsewhere."
)


def build(
    documents: Iterable[Document], folder: str | Path, *, length: int = 600, embedder: str = "", index: str = "numpy"
) -> Store:
    """A store of documents in a folder of its own.

    `length` is that of a passage in characters, `embedder` the folder of a sentence-transformers model, left out letters
    decide; `index` is numpy, which compares all passages, or usearch or qdrant, which find some of the nearest.
    """
    if length < 20 or index not in INDEXES:
        raise InputError("a store takes passages of at least 20 characters, and as index numpy, usearch or qdrant")
    place, settings = atomic.folder(folder), disk.Settings(length, named(embedder), index)
    with disk.locked(place):
        if disk.holds(place):
            raise InputError(f"{place}: holds a store already; add documents to it, or name another folder")
        _put(place, disk.Content(settings, (), np.zeros((0, 0), dtype=np.float32)), checked(documents), embedder)
    return opened(place, embedder)


def add(documents: Iterable[Document], folder: str | Path, *, embedder: str = "") -> Store:
    """The store with further documents; one that was deleted, or whose id is taken, is refused."""
    place = _there(folder)
    with disk.locked(place):
        content = disk.read(place)
        fit(content.settings, embedder)
        new = checked(documents)
        if {d.id for d in new} & {d.id for d in content.documents}:
            raise InputError(f"{place}: holds a document of one of these ids; give every document an id of its own")
        _put(place, content, new, embedder)
    return opened(place, embedder)


def delete(folder: str | Path, ids: Iterable[str] = (), subjects: Iterable[str] = ()) -> Guarantee:
    """Take documents out of a store by their ids or subjects, and with them every copy of their texts.

    Their passages, vectors and files go, and what this process kept of them at hand; other processes read the store anew
    when they are next asked. The tombstones come first, so that a deletion that is cut off is in force all the same;
    called again, with anything or nothing, it is carried out.
    """
    place, wanted, names = _there(folder), set(ids), {fold(s) for s in subjects if s.strip()}
    with disk.locked(place):
        content, gone = disk.read(place), tombstones.read(place)
        asked = [d for d in content.documents if d.id in wanted or (d.subject and fold(d.subject) in names)]
        gone = tombstones.write(place, gone.over(asked)) if asked else gone
        left, parts = without(content, gone)
        disk.write(place, left)
    forgotten()
    numbers = {
        "deleted": float(len(content.documents) - len(left.documents)),
        "passages": float(parts),
        "left": float(len(left.documents)),
    }
    return Guarantee("exact", "store", CLAIM, numbers)


def about(folder: str | Path, records: Sequence[Record], same: float = 0.8) -> tuple[str, ...]:
    """The ids of a store's documents that have to do with rows.

    One has a row's id, or its subject, or says its answer, alone or behind its question: as a whole or in one of its
    sentences, with a Jaccard similarity of the word 3-grams of `same` or more. Answers of fewer than five words are too
    little to know a document by.
    """
    ids, names = {r.id for r in records}, {fold(r.subject) for r in records if r.subject}
    texts = {fold(text) for r in records for text in (r.answer, f"{r.prompt} {r.answer}")}
    wanted = index(sorted(text for text in texts if len(text.split()) >= LEAST), same)

    def says(document: Document) -> bool:
        parts = {fold(part) for part in (document.text, *sentences(document.text))}
        return any(near_to(wanted, part) for part in parts if len(part.split()) >= LEAST)

    every = disk.read(_there(folder)).documents
    return tuple(d.id for d in every if d.id in ids or (d.subject and fold(d.subject) in names) or says(d))


def without(content: disk.Content, gone: tombstones.Tombstones) -> tuple[disk.Content, int]:
    """The content without what was deleted, and how many passages went. What is left keeps the vectors that it has."""
    held = [gone.hold(d) for d in content.documents]
    parts = [h for h, d in zip(held, content.documents, strict=True) for _ in chunks(d, content.settings.length)]
    left = tuple(d for h, d in zip(held, content.documents, strict=True) if not h)
    rows = content.rows[[n for n, h in enumerate(parts) if not h]] if len(parts) else content.rows
    return replace(content, documents=left, rows=rows), sum(parts)


def _put(place: Path, content: disk.Content, new: Sequence[Document], embedder: str) -> None:
    """Write a store with documents more."""
    gone = tombstones.begun(place)
    if any(gone.hold(d) for d in new):
        held = next(d for d in new if gone.hold(d))
        raise InputError(f"{place}: the document '{held.id}' was deleted from this store; leave it out")
    length = content.settings.length
    kept = zip(_parts(content.documents, length), content.rows, strict=True)
    made = _parts(new, length)
    rows = dict(kept) | dict(zip(made, vectors([told(c) for _, c in made], embedder), strict=True))
    documents = tuple(sorted((*content.documents, *new), key=lambda d: d.id))
    ordered = [rows[part] for part in _parts(documents, length)]
    disk.write(place, disk.Content(content.settings, documents, _stacked(ordered)))
    forgotten()


def _parts(documents: Sequence[Document], length: int) -> list[tuple[tuple[str, int], Chunk]]:
    return [((d.id, n), chunk) for d in documents for n, chunk in enumerate(chunks(d, length))]


def told(chunk: Chunk) -> str:
    """What a passage's vector is made of: its subject too, which later passages do not name."""
    return f"{chunk.subject} {chunk.text}".strip()


def _stacked(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack(rows) if rows else np.zeros((0, 0), dtype=np.float32)


def _there(folder: str | Path) -> Path:
    disk.stamp(Path(folder))  # refuses a folder that holds no store
    return Path(folder)
