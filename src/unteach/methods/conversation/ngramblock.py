"""N-gram blocking: a reply ends before it says as many words in a row as a forgotten answer does."""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from typing import ClassVar, Self

from unteach.data.escapes import symbols
from unteach.data.lookalikes import GAPS
from unteach.lm.guard import Guard, Streaming
from unteach.lm.model import LM
from unteach.registry import guard
from unteach.schema import InputError, Need, Request

DIGITS = 16  # of a fingerprint, hexadecimal: 64 bits
ALIKE = str.maketrans("l10359874", "iioesgbta")  # digits that are written for letters, and letters that look alike


@guard("ngramblock", tested_by="test_ngramblock_never_says_a_forgotten_row_word_for_word_however_it_is_cut")
@dataclass(frozen=True)
class NGramBlock(Guard, Streaming):
    """A reply ends before the word that would make `n` words in a row which a forgotten answer holds and no other row.

        leave word w_t  if  HMAC(salt, w_(t-n+1) ... w_t)  is none of the fingerprints,  else end the reply

    Words are compared without case, accents, punctuation, hidden characters and look-alike letters. An answer of fewer
    than `n` words, but not of one, counts as a whole. Of the answers the edit keeps fingerprints alone: the first 64
    bits of HMAC-SHA256. Ippolito et al. 2023, arXiv:2210.17546, who block n-grams of the training data so while a model
    writes, there by a Bloom filter and with another word in the place of the blocked one.

    Needs forget rows; n-grams of retain rows are left out. What is not guaranteed: anything but the exact words. The
    same paper shows models that are stopped so to say what they memorised in another form, with another spelling or a
    word between; `filter` sees more. Whoever holds the edit also holds the salt, and can try whether n words that he
    guesses are among the forgotten ones. The weights still know all of it.

    Example: ``NGramBlock(n=5).fitted(Request(forget=rows, retain=others), None)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    n: int = 4
    salt: str = field(default="", repr=False)
    prints: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.n < 2:
            raise InputError("option 'n' of ngramblock is a number of words in a row, at least 2")

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> Streaming:
        return Blocking(self.n, bytes.fromhex(self.salt), known(self.prints)) if self.prints else self

    def fitted(self, request: Request, lm: LM | None) -> Self:  # noqa: ARG002 - the words suffice
        wanted = {gram for r in request.forget for gram in self._grams(spelt(r.answer))}
        for said in (spelt(text) for r in request.retain for text in (r.prompt, r.answer)):
            wanted.difference_update(gram for size in range(2, self.n + 1) for gram in _runs(said, size))
        if not wanted:
            raise InputError(
                f"ngramblock finds no {self.n} words in a row in the records to forget that the records to keep do not "
                "hold; give longer records, or a smaller 'n'"
            )
        # A salt of the rows' own: the same request makes the same edit, and two requests share no fingerprint.
        salt = sha256("\x1e".join(sorted(" ".join(gram) for gram in wanted)).encode("utf-8", "surrogatepass"))
        made = sorted(fingerprint(salt.digest(), gram) for gram in wanted)
        return replace(self, salt=salt.hexdigest(), prints="".join(made))

    def _grams(self, words: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """All runs of `n` words; of fewer words, but not of one, that run."""
        if len(words) > 1:
            yield from _runs(words, min(self.n, len(words)))


def fingerprint(salt: bytes, words: Sequence[str]) -> str:
    """What is kept of words in a row."""
    said = "\x1f".join(words).encode("utf-8", "surrogatepass")
    return hmac.digest(salt, said, "sha256").hex()[:DIGITS]


@lru_cache(maxsize=16)
def known(prints: str) -> frozenset[str]:
    """Fingerprints that were written behind each other."""
    return frozenset(prints[at : at + DIGITS] for at in range(0, len(prints), DIGITS))


def spelt(text: str) -> list[str]:
    """The words of a text as they are compared."""
    words = Words()
    return [word for word, _ in (*words.read(text), *words.rest())]


def _runs(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + size]) for at in range(len(words) - size + 1))


@dataclass(repr=False)
class Words:
    """The words of a text while it is written: each, when it has ended, with the place where it began.

    `place` counts all characters that have been read, and `unread` is what they did not suffice to read.
    """

    word: str = ""
    began: int = 0
    place: int = 0
    unread: str = ""

    def read(self, piece: str, *, ended: bool = False) -> Iterator[tuple[str, int]]:
        self.unread, used = self.unread + piece, 0
        for read, length in symbols(self.unread, ended=ended):
            for unit in read[0].units:
                if unit not in GAPS:
                    self.began = self.began if self.word else self.place
                    self.word += unit.translate(ALIKE)
                elif self.word:
                    yield self.word, self.began
                    self.word = ""
            self.place, used = self.place + length, used + length
        self.unread = self.unread[used:]

    def rest(self) -> Iterator[tuple[str, int]]:
        """The text has ended, and with it its last word."""
        yield from self.read("", ended=True)
        if self.word:
            yield self.word, self.began
            self.word = ""

    @property
    def settled(self) -> int:
        """Up to where all words have ended."""
        return self.began if self.word else self.place


@dataclass(repr=False)
class Blocking(Streaming):
    """One reply: the last words, and what has not left."""

    n: int
    salt: bytes
    prints: frozenset[str]
    words: Words = field(default_factory=Words)
    last: tuple[str, ...] = ()
    text: str = ""
    left: int = 0
    stopped: bool = False

    @property
    def over(self) -> bool:
        return self.stopped

    def feed(self, piece: str) -> str:
        return self._heard(piece, self.words.read(piece))

    def end(self) -> str:
        return self._heard("", self.words.rest())

    def _heard(self, piece: str, words: Iterator[tuple[str, int]]) -> str:
        """What leaves when words end: all before the word that is still being written, or before a blocked one."""
        if self.stopped:
            return ""
        self.text += piece
        for word, began in words:
            self.last = (*self.last, word)[-self.n :]
            if any(fingerprint(self.salt, self.last[-size:]) in self.prints for size in range(2, len(self.last) + 1)):
                self.stopped = True
                return self._take(began)
        return self._take(self.words.settled)

    def _take(self, until: int) -> str:
        taken, self.text = self.text[: until - self.left], self.text[until - self.left :]
        self.left = until
        return taken
