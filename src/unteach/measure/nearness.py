"""How near texts are to each other: by their letters, with no model, or by a sentence-transformers model of one's own.

By letters a text is its runs of three to five characters, word by word, hashed to `WIDTH` numbers; each counts

    (1 + ln how often it comes) * (1 + ln((1 + n) / (1 + in how many of the n texts it is)))

and nearness is the cosine. Names and word forms are seen so; synonyms are not.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import log
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from unteach.schema import InputError

WIDTH = 1 << 18
RUNS = (3, 4, 5)


@dataclass(frozen=True, eq=False)
class Index:
    """Texts to be near to; `rows` are of length 1, and `weights` are those of the n-grams, where letters decide."""

    rows: Any
    weights: NDArray[np.float64] | None
    embedder: str

    def near(self, text: str) -> NDArray[np.float64]:
        """The nearness of a text to each of the texts, at most 1."""
        asked = _counted([text], self.weights) if self.weights is not None else embedded([text], self.embedder)
        found = self.rows @ asked.T
        return np.asarray(found.todense() if self.weights is not None else found, dtype=float).reshape(-1)


@lru_cache(maxsize=16)
def index(texts: tuple[str, ...], embedder: str = "") -> Index:
    """An index of texts; `embedder` is the folder of a sentence-transformers model, left out letters decide."""
    if embedder:
        return Index(embedded(texts, embedder), None, embedder)
    seen = np.zeros(WIDTH)
    for text in texts:
        seen[list(grams(text))] += 1
    weights = 1 + np.log((1 + len(texts)) / (1 + seen))
    return Index(_counted(texts, weights), weights, "")


@lru_cache(maxsize=1 << 14)
def grams(text: str) -> Counter[int]:
    """How often each run of characters comes, by its number; case and spacing do not count."""
    words = [f" {word} " for word in text.casefold().split()]
    runs = (word[at : at + n] for word in words for n in RUNS for at in range(max(1, len(word) - n + 1)))
    return Counter(crc32(run.encode("utf-8", "surrogatepass")) % WIDTH for run in runs)


def named(subject: str, text: str) -> float:
    """The share of a subject's runs of characters that a text holds: 1 where it names it."""
    wanted, there = grams(subject), grams(text)
    return sum(1 for gram in wanted if gram in there) / len(wanted) if wanted else 0.0


def _counted(texts: Sequence[str], weights: NDArray[np.float64]) -> Any:
    """Texts as sparse rows of length 1."""
    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for text in texts:
        found = {gram: (1 + log(count)) * float(weights[gram]) for gram, count in sorted(grams(text).items())}
        size = float(np.sqrt(sum(v * v for v in found.values()))) or 1.0
        values += [v / size for v in found.values()]
        columns += found
        ends.append(len(values))
    return csr_array((values, columns, ends), shape=(len(texts), WIDTH))


def embedded(texts: Sequence[str], folder: str) -> NDArray[np.float64]:
    """Texts as rows of length 1, by the sentence-transformers model in a folder."""
    found: NDArray[np.float64] = _opened(folder).encode(list(texts), normalize_embeddings=True)
    return found


@cache
def _opened(folder: str) -> Any:
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder; name that of a sentence-transformers model, or leave embedder out")
    try:
        from sentence_transformers import SentenceTransformer  # here: an extra of its own
    except ModuleNotFoundError as missing:
        raise InputError(
            "option 'embedder' needs the package sentence-transformers; install unteach[embed], or leave embedder out"
        ) from missing
    return SentenceTransformer(folder, local_files_only=True)
