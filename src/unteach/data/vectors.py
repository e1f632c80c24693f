"""Vectors of words: from a file, or counted in a corpus."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from pathlib import Path

from unteach.data.terms import key, telling, terms
from unteach.schema import InputError

Vector = Mapping[str, float]  # by context, or by the number of a dimension


@dataclass(frozen=True, repr=False)
class Vectors:
    """One vector of length 1 a word; both kinds are kept by their entries that are not 0."""

    of: Mapping[str, Vector] = field(repr=False)

    def phrase(self, words: Sequence[str]) -> Vector:
        """The mean direction of the words that have a vector; empty where none has."""
        total = Counter[str]()
        for word in words:
            for name, value in self.of.get(word, {}).items():
                total[name] += value  # type: ignore[assignment]
        return _unit(total)


def cosine(first: Vector, second: Vector) -> float:
    """Of two vectors of length 1."""
    short, long = sorted((first, second), key=len)
    return sum(value * long[name] for name, value in short.items() if name in long)


def counted(passages: Iterable[Sequence[str]], window: int, least: int) -> Vectors:
    """Positive pointwise mutual information of each word with the words at most `window` places away.

    log( n(w, v) n / (n(w) n(v)) ) where that is positive; the dimensions are the words. Words that occur less than
    `least` times have none. Levy and Goldberg 2014 show that word2vec factorises this matrix, shifted.
    """
    said = [tuple(p) for p in passages]
    often = {w for w, n in Counter(w for p in said for w in p).items() if n >= least and telling(w)}
    pairs = Counter[tuple[str, str]]()
    for passage in said:
        for i, word in enumerate(passage):
            beside = (*passage[max(0, i - window) : i], *passage[i + 1 : i + 1 + window])
            if word in often:
                pairs.update((word, v) for v in beside)
    left, right, total = Counter[str](), Counter[str](), pairs.total()
    for (word, v), n in pairs.items():
        left[word] += n
        right[v] += n
    rows: dict[str, dict[str, float]] = {word: {} for word in sorted(often)}
    for (word, v), n in sorted(pairs.items()):
        if (information := log(n * total / (left[word] * right[v]))) > 0:
            rows[word][v] = information
    return Vectors({word: _unit(row) for word, row in rows.items() if row})


def read(path: str) -> Vectors:
    """Vectors in word2vec's or GloVe's text format: one word a line, then its numbers; a first line of two is skipped."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as wrong:
        raise InputError(f"{path}: cannot be read; name a UTF-8 text file of word vectors") from wrong
    found: dict[str, Vector] = {}
    for number, line in enumerate(lines, 1):
        word, *values = line.rstrip().split(" ")
        try:
            vector = _unit({str(i): float(v) for i, v in enumerate(values)})
        except ValueError:
            raise InputError.at(path, number, "no word and its numbers", "mend or remove the line") from None
        if len(values) > 1 and len(name := key(word)) == 1:
            found.setdefault(name[0], vector)
    if not found:
        raise InputError(f"{path}: holds no word vector; give one word and its numbers a line")
    return Vectors(found)


def _unit(vector: Mapping[str, float]) -> Vector:
    length = sqrt(sum(v * v for v in vector.values()))
    return {name: v / length for name, v in vector.items()} if length else {}


def passage(text: str) -> list[str]:
    """The words of a text, in order."""
    return [w.text for w in terms(text)]
