"""Duplicates in training data: whole rows, rows that are nearly the same, and long runs of words within rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from unteach.data.corpus import said
from unteach.data.held import Held, settled
from unteach.data.passes import Cleaned, Mark
from unteach.data.rewriting import Change, rewritten
from unteach.data.runs import Place, repeated
from unteach.registry import data
from unteach.schema import InputError, Record


@data("dedup", tested_by="test_no_near_pair_and_no_repeated_run_survives")
@dataclass(frozen=True)
class Dedup:
    """Rows, and runs of words within answers, that the training data already holds.

    Lee et al. 2021, arXiv:2107.06499: a model recites above all what it has read more than once. Three steps.

    `exact`: a row is dropped where an earlier one says the same but for case, spacing and punctuation.
    `near`: so is one whose word 3-grams have a Jaccard similarity |A ∩ B| / |A ∪ B| of `near` or more to those of an
    earlier row that stays. The paper estimates this by MinHash over 5-grams and asks of the pairs found for an edit
    similarity too; here an exact join finds every pair. 0 leaves this step out.
    `substring`: of a run of `length` words or more that stands in several answers, or twice in one, the first
    occurrence stays and the others are cut, until none is left: a cut can bring two halves together. The paper
    counts 50 tokens of a model, here words are counted, or characters where words are not spaced; and it strikes
    every occurrence, the first too. 0 leaves it out. A row whose answer is cut away whole is dropped.

    Prompts are not cut: they are what is asked, and templates repeat them. What is said twice in other words stays.

    Example: ``Dedup(near=0.9)``.
    """

    near: float = 0.8
    length: int = 50

    def __post_init__(self) -> None:
        if not 0 <= self.near <= 1:
            raise InputError("dedup: near is not in [0, 1]; give a similarity such as 0.8, or 0 for none")
        if self.length < 0:
            raise InputError("dedup: length is below 0; give a number of words such as 50, or 0 for none")

    def __call__(self, records: Sequence[Record], /) -> Cleaned:
        """The rows that stay, some with shorter answers."""
        now, given = dict(enumerate(records)), dict[int, list[int]]()
        texts, held = dict[int, str](), Held(self.near)
        marks = list(_rows(now, texts, held, dict(now)))
        while self.length and (cut := list(_cut(now, given, self.length))):
            marks += [*cut, *_rows(now, texts, held, {mark.row: now[mark.row] for mark in cut if mark.row in now})]
        marks.sort(key=lambda mark: (mark.row, mark.start))
        return Cleaned(tuple(now.values()), tuple(now), len(records), tuple(marks))


def _rows(now: dict[int, Record], texts: dict[int, str], held: Held, changed: Mapping[int, Record]) -> Iterator[Mark]:
    """Drop the rows that repeat an earlier one, word for word or nearly; only pairs with a changed row can be new."""
    texts |= {row: said(record) for row, record in changed.items()}
    exact = _exact({row: texts[row] for row in now})
    yield from (Mark(row, now[row].id, "exact", of=now[of].id) for row, of in exact.items())
    for row in [row for row in held.sets if row in exact or row not in now]:
        del held.sets[row]
    close = settled(held, {row: texts[row] for row in sorted(changed) if row not in exact}) if held.near else {}
    yield from (Mark(row, now[row].id, "near", of=now[of].id) for row, of in close.items())
    for row in (*exact, *close):
        del now[row]


def _exact(texts: Mapping[int, str]) -> dict[int, int]:
    """The rows that repeat an earlier one, and which."""
    first: dict[str, int] = {}
    return {row: of for row, text in texts.items() if (of := first.setdefault(text, row)) != row}


def _cut(now: dict[int, Record], given: dict[int, list[int]], length: int) -> Iterator[Mark]:
    """Cut repeated runs out of the answers; `given` says where the characters of an answer stood at first."""
    runs = _runs(now, length)
    ids = {row: record.id for row, record in now.items()}
    for row, found in runs.items():
        record = now[row]
        places = given.setdefault(row, [*range(len(record.answer))])
        for (start, end), of in found:
            yield Mark(row, record.id, "substring", "answer", places[start], places[end - 1] + 1, ids[of])
        now[row], given[row] = _shortened(record, [place for place, _ in found], places)
        if not now[row].answer.strip():
            del now[row]


def _runs(now: Mapping[int, Record], length: int) -> dict[int, list[tuple[Place, int]]]:
    rows, found = list(now), dict[int, list[tuple[Place, int]]]()
    for text, place, of in repeated([now[row].answer for row in rows], length):
        found.setdefault(rows[text], []).append((place, rows[of]))
    return found


def _shortened(record: Record, cuts: Sequence[Place], places: Sequence[int]) -> tuple[Record, list[int]]:
    """A row without parts of its answer nor the space behind them; and where the characters left once stood."""
    gaps = [(start, _after(record.answer, end)) for start, end in cuts]
    gone = {at for start, end in gaps for at in range(start, end)}
    cut = rewritten(record, {"answer": [Change(start, end, "") for start, end in gaps]})
    spans = tuple(span for span in cut.spans if span.start < span.end)
    return replace(cut, spans=spans), [place for at, place in enumerate(places) if at not in gone]


def _after(text: str, end: int) -> int:
    while end < len(text) and text[end].isspace():
        end += 1
    return end
