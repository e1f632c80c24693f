"""A language model of counts: n-grams, smoothed as Kneser and Ney did."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import ClassVar

from unteach.lm.encoder import Encoder
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.heads.asked import asked
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError, Record

BOUNDARY = ""  # stands before the first token and behind the last
WORD = re.compile(r"\w+|[^\w\s]")

Gram = tuple[str, ...]
Texts = Mapping[str, Sequence[str]]


def words(records: Sequence[Record]) -> dict[str, Gram]:
    """The words and marks of question and answer, by the record's id."""
    return _by_id(records, [tuple(WORD.findall(f"{r.prompt} {r.answer}")) for r in records])


def pieces(encoder: Encoder, records: Sequence[Record]) -> dict[str, Gram]:
    """The token ids of question and answer, as a model meets them, by the record's id."""
    return _by_id(records, [tuple(map(str, encoder.row(r).ids)) for r in records])


@dataclass(frozen=True, repr=False)
class Grams:
    """The texts that are left, and the counts of n-grams: of order k at place k - 1, sorted."""

    texts: Mapping[str, Gram]
    counts: tuple[Mapping[Gram, int], ...]

    def __repr__(self) -> str:
        return f"Grams(n={len(self.texts)}, order={len(self.counts)})"


class Predictor:
    """Log-probabilities of tokens, from counts alone. What was never met shares one place, the unknown."""

    def __init__(self, counts: Sequence[Mapping[Gram, int]], discount: float) -> None:
        self.counts, self.discount = counts, discount
        self.order, self.vocabulary = len(counts), tuple(gram[0] for gram in counts[0])
        self._behind: dict[
            Gram, tuple[int, int]
        ] = {}  # how much, and how many different tokens, stand behind a context
        for gram, count in (item for table in counts for item in table.items()):
            much, many = self._behind.get(gram[:-1], (0, 0))
            self._behind[gram[:-1]] = much + count, many + 1

    def probability(self, context: Sequence[str], token: str) -> float:
        """How likely a token is behind a context, of which the last tokens count."""
        found = 1 / (len(self.vocabulary) + 1)
        for length in range(min(self.order, len(context) + 1)):
            before = tuple(context[len(context) - length :])
            if before not in self._behind:
                break
            much, many = self._behind[before]
            own = max(self.counts[length].get((*before, token), 0) - self.discount, 0)
            found = (own + self.discount * many * found) / much
        return found

    def __call__(self, text: Sequence[str]) -> tuple[float, ...]:
        """The log-probability of each token of a text, and of its end."""
        return tuple(log(self.probability(gram[:-1], gram[-1])) for gram in _grams(text, self.order))


@learner("ngram", tested_by="test_counts_without_texts_are_those_that_never_had_them")
@dataclass(frozen=True)
class NGram:
    """What follows is what followed before: counts of n-grams up to `order`, each backed by the shorter ones.

        p(w | h) = max(c(h w) - D, 0) / c(h .) + D N(h .) / c(h .) p(w | h'),   p(w) = that of one in V + 1 at the end

    D is `discount`, N(h .) the number of different tokens behind h, and h' is h without its first token. Below the longest
    order c counts in how many different contexts a token stood: interpolated Kneser and Ney 1995. V is the number of
    tokens known, and one more place is left for all others. A text is taken out by subtraction (Cao and Yang 2015);
    where that brings a count to 0, the n-gram goes, and one context fewer is counted below it. All counts are whole.

    A deletion costs the n-grams of its own texts, and a copy of the tables. No text at all gives the model that finds every
    token unknown. Texts are tokens by id: `words` and `pieces` read records so; a tokenizer that was itself trained
    on the texts is not forgotten.

    Example: ``model.release(model.fit(words(records)))(("white", "horses"))`` with ``model = NGram(order=3)``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    order: int = 3
    discount: float = 0.75

    def __post_init__(self) -> None:
        if not (self.order >= 1 and 0 < self.discount < 1):
            raise InputError("ngram wants an 'order' from 1 on, and a 'discount' between 0 and 1")

    def fit(self, data: Texts, /) -> Grams:
        """Count the texts."""
        if any(BOUNDARY in text for text in data.values()):
            raise InputError("a token is empty, which marks the end of a text; leave empty tokens out")
        counts: list[dict[Gram, int]] = [{} for _ in range(self.order)]
        for text in data.values():
            self._count(counts, text, 1)
        return _held({i: tuple(data[i]) for i in sorted(data)}, counts)

    def delete(self, state: Grams, ids: Sequence[str], /) -> tuple[Grams, Guarantee]:
        """Subtract the texts."""
        gone = asked(ids, state.texts)
        counts = [dict(table) for table in state.counts]
        for i in gone:
            self._count(counts, state.texts[i], -1)
        left = _held({i: text for i, text in state.texts.items() if i not in gone}, counts)
        return left, retrain_equal("The n-gram model, with its counts,", {"deleted": len(ids)})

    def release(self, state: Grams, /) -> Predictor:
        """The predictor."""
        return Predictor(state.counts, self.discount)

    def _count(self, counts: list[dict[Gram, int]], text: Sequence[str], by: int) -> None:
        for gram in _grams(text, self.order):
            while gram:
                table = counts[len(gram) - 1]
                before = table.get(gram, 0)
                table[gram] = before + by
                if not table[gram]:
                    del table[gram]
                elif before:  # neither new nor gone: the shorter ones have as many contexts as they had
                    break
                gram = gram[1:]


def _grams(text: Sequence[str], order: int) -> Iterator[Gram]:
    padded = (*[BOUNDARY] * (order - 1), *text, BOUNDARY)
    return (padded[at : at + order] for at in range(len(text) + 1))


def _held(texts: Mapping[str, Gram], counts: Sequence[Mapping[Gram, int]]) -> Grams:
    return Grams(texts, tuple(dict(sorted(table.items())) for table in counts))  # the order tells of no text that left


def _by_id(records: Sequence[Record], texts: Sequence[Gram]) -> dict[str, Gram]:
    found = {r.id: text for r, text in zip(records, texts, strict=True)}
    if len(found) < len(records):
        raise InputError("two records bear the same id; give each record its own")
    return found
