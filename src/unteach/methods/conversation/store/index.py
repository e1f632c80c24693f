"""What finds the rows near a vector: all of them compared, or an index that is always made anew.

Taking a vector out of an index of either library marks it and leaves its numbers where they were; so none is ever taken
out of one. An index holds vectors and no text, and is never written to a file.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unteach.methods.conversation.store.vectors import Vector
from unteach.schema import InputError

Find = Callable[[Vector, int], Sequence[int]]  # numbers of so many rows, or a few more, that are near
INDEXES = ("numpy", "usearch", "qdrant")
COLLECTION = "passages"


def finder(index: str, rows: NDArray[np.float32]) -> Find | None:
    """An index over rows; None where all of them are compared."""
    if index not in INDEXES:
        raise InputError("option 'index' of a store is numpy, usearch or qdrant")
    if index == "numpy" or not len(rows):
        return None
    return _by_graph(graph(rows)) if index == "usearch" else _by_points(points(rows))


def graph(rows: NDArray[np.float32]) -> Any:
    """A usearch index of rows: a navigable graph, grown in one thread, so that it is the same for the same rows."""
    try:
        from usearch.index import Index  # here: an extra of its own
    except ModuleNotFoundError as missing:
        raise _lacking("usearch") from missing
    made = Index(ndim=rows.shape[1], metric="cos", dtype="f32")
    made.add(np.arange(len(rows)), rows, threads=1)
    return made


def points(rows: NDArray[np.float32]) -> Any:
    """A Qdrant client in this process that holds rows under their numbers, and nothing else of them."""
    try:
        from qdrant_client import QdrantClient, models  # here: an extra of its own
    except ModuleNotFoundError as missing:
        raise _lacking("qdrant") from missing
    made = QdrantClient(":memory:")
    size = models.VectorParams(size=rows.shape[1], distance=models.Distance.COSINE)
    made.create_collection(COLLECTION, vectors_config=size)
    made.upload_collection(COLLECTION, vectors=rows, ids=range(len(rows)))
    return made


def _by_graph(made: Any) -> Find:
    return lambda vector, count: [int(key) for key in made.search(vector, count, threads=1).keys]


def _by_points(made: Any) -> Find:
    return lambda vector, count: [p.id for p in made.query_points(COLLECTION, query=vector, limit=count).points]


def _lacking(name: str) -> InputError:
    return InputError(f"index={name} needs the package {name}; install unteach[{name}], or leave index out")
