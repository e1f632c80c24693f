"""Training rows that hold what a benchmark asks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from unteach.data.corpus import said
from unteach.data.fold import fold, tokens
from unteach.data.passes import Cleaned, Mark, without
from unteach.registry import data
from unteach.schema import InputError, Record

Gram = tuple[str, ...]


@data("decontaminate", tested_by="test_a_row_that_shares_a_run_with_the_benchmark_is_dropped")
@dataclass(frozen=True)
class Decontaminate:
    """Drops training rows that share a run of `words` words with a row of a benchmark: a score must not be memory.

    Brown et al. 2020, arXiv:2005.14165, appendix C: n-grams of 13 words, in lower case and without punctuation;
    those that more than `common` training rows hold are taken for phrases of the language and ignored (0: none is).
    Rows that are the same count once for this. A text of the benchmark of fewer than `words` words is looked for
    whole, if it has `least`; a shorter one is found only in a row that says nothing else. 8 and 13 are the bounds within
    which the paper's count of overlaps chooses the length for each benchmark.

    The question, the answer, and the two together are texts of the benchmark. The paper cuts the overlap out of long
    documents with 200 characters around it; here the row goes. It does not find what asks the same in other words.

    Example: ``Decontaminate(against=request.holdout)``.
    """

    against: tuple[Record, ...] = field(default=(), repr=False)
    words: int = 13
    least: int = 8
    common: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.words:
            raise InputError("decontaminate: least is not in 1 to words; give such as 8 of 13")
        if self.common < 0:
            raise InputError("decontaminate: common is below 0; give a number of rows such as 10, or 0 for none")

    def __call__(self, records: Sequence[Record], /) -> Cleaned:
        """The rows that share nothing with the benchmark; a mark's `of` is the row of it that one does share with."""
        runs, whole = self._asked()
        starts: dict[Gram, list[Gram]] = {}
        for gram in runs:
            starts.setdefault(gram[: self.least], []).append(gram)
        texts = [said(record) for record in records]
        holds = {text: _held(tokens(text), starts, self.least) for text in dict.fromkeys(texts)}
        often = Counter(gram for found in holds.values() for gram in found)
        phrases = {gram for gram, rows in often.items() if self.common and rows > self.common}
        marks = []
        for row, (record, text) in enumerate(zip(records, texts, strict=True)):
            if shared := holds[text] - phrases:
                marks.append(Mark(row, record.id, "ngram", of=runs[min(shared)]))
            elif text in whole:
                marks.append(Mark(row, record.id, "whole", of=whole[text]))
        note = f"{len(phrases)} runs of words that more than {self.common} rows hold were ignored"
        return without(records, marks, (note,) if phrases else ())

    def _asked(self) -> tuple[dict[Gram, str], dict[str, str]]:
        """The runs of the benchmark, and its rows as they are; each with the id of the first row that has it."""
        runs: dict[Gram, str] = {}
        whole: dict[str, str] = {}
        for record in reversed(self.against):
            for text in (said(record), fold(record.prompt), fold(record.answer)):
                words = tokens(text)
                if len(words) >= self.least:
                    runs |= dict.fromkeys(_runs(words, min(len(words), self.words)), record.id)
            whole[said(record)] = record.id
        return runs, whole


def _runs(words: Sequence[str], size: int) -> Iterator[Gram]:
    """The runs of `size` words, in their order."""
    return zip(*(words[i:] for i in range(size)), strict=False)


def _held(words: Sequence[str], starts: Mapping[Gram, Sequence[Gram]], least: int) -> frozenset[Gram]:
    """The runs of the benchmark that a training text holds, looked up by how they begin."""
    return frozenset(
        gram
        for at, start in enumerate(_runs(words, least))
        for gram in starts.get(start, ())
        if tuple(words[at : at + len(gram)]) == gram
    )
