"""A text as a vector that depends on nothing but that text.

By letters, a word that is no function word is its runs of three to five characters, and a text

    v[h(g) mod WIDTH] += s(g) (1 + ln n(g))    for each run g that comes n(g) times, s(g) = -1 or 1

divided by its length: signed feature hashing (Weinberger et al. 2009, arXiv:0902.2206). Weights by rarity would tell
runs apart better, and would change with every document that comes or goes.
"""

from collections import Counter
from collections.abc import Sequence
from math import log
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from unteach.data.fold import fold
from unteach.data.wordings.vocabulary import FUNCTION
from unteach.measure.nearness import RUNS, embedded

Vector = NDArray[np.float32]
WIDTH = 1024


def vector(text: str, embedder: str = "") -> Vector:
    """The vector of a text, of length 1: by letters, or by the sentence-transformers model in a folder, asked alone."""
    if embedder:
        return np.asarray(embedded([text], embedder)[0], dtype=np.float32)
    found = np.zeros(WIDTH)
    for run, count in sorted(_runs(text).items()):
        number = crc32(run.encode("utf-8", "surrogatepass"))
        found[number % WIDTH] += (1 + log(count)) * (1 if number >> 20 & 1 else -1)
    size = float(np.sqrt((found * found).sum())) or 1.0
    return (found / size).astype(np.float32)


def vectors(texts: Sequence[str], embedder: str = "") -> NDArray[np.float32]:
    """The vectors of texts as rows."""
    return np.stack([vector(text, embedder) for text in texts]) if texts else np.zeros((0, 0), dtype=np.float32)


def _runs(text: str) -> Counter[str]:
    words = (f" {word} " for word in fold(text).split() if word not in FUNCTION)
    return Counter(word[at : at + n] for word in words for n in RUNS for at in range(max(1, len(word) - n + 1)))
