"""MQuAKE: questions that take several facts to answer, some of which were changed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from unteach.audit.facts import fact_sets, right_answers, source
from unteach.audit.suite import Suite, of
from unteach.data.cells import Cells
from unteach.data.facts import REWRITE, collect, raw
from unteach.data.rows import Place
from unteach.registry import benchmark
from unteach.schema import Fact, Record, Request

_Row = tuple[Place, Mapping[str, object]]


@benchmark("mquake", tested_by="test_mquake_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class MQuAKE:
    """Chains of two to four facts of which some are changed, and questions about the chain's end.

    Zhong et al. 2023, arXiv:2305.14795. `data` is a file of the authors', a folder that holds one, or a hub id (the
    default is a corrected edition by others). `sets` are `facts` (every changed fact once, as a statement),
    `rephrased` (as a question), `multihop` (one instance a chain, in three wordings), `hops` (the single steps after
    the change) and `kept` (those of them that no chain changes); `rows` takes only the first chains.

    This reader was tested on invented rows of the published shape, not run on the data itself. The authors ask with
    examples before each question, and count an instance's hops only where all of them are right.

    Example: ``MQuAKE(data="path/to/MQuAKE-CF-3k.json", rows=100).sets()["multihop"]``.
    """

    suite: ClassVar[Suite] = of("reliability", "generalisation", "multihop", "ngramentropy", max_new=60)
    roles: ClassVar[Mapping[str, str]] = {
        "facts": "facts", "rephrased": "rephrased", "multihop": "portability", "hops": "portability",
        "kept": "neighbours",
    }  # fmt: skip
    data: str = "henryzhongsc/MQuAKE-Remastered:default:CF3k"
    rows: int | None = None

    def request(self) -> Request:
        """Correct every fact that a chain needs changed, all at once."""
        return Request(facts=_changed(self._rows()), scope="fact", id="mquake")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        rows = self._rows()
        before = {(r.prompt, r.restated) for row in rows for r in _hops(row, "single_hops")}
        after = _distinct(r for row in rows for r in _hops(row, "new_single_hops"))
        ends = Counter(prompt for prompt, _ in {(r.prompt, r.restated) for r in after})
        sets = fact_sets(_changed(rows)) | {
            "multihop": tuple(record for row in rows for record in _chain(row)),
            "hops": after,
            "kept": tuple(r for r in after if (r.prompt, r.restated) in before and ends[r.prompt] == 1),
        }
        return {name: records for name, records in sets.items() if records}

    def _rows(self) -> list[_Row]:
        return list(islice(raw(source(self.data, "*MQuAKE-CF-3k*.json", "*MQuAKE*.json")), self.rows))


def _changed(rows: Iterable[_Row]) -> tuple[Fact, ...]:
    """The facts that chains change, each once: chains share them."""
    found: dict[tuple[str, ...], Fact] = {}
    for fact in collect((place, {name: row[name] for name in row.keys() & {REWRITE}}) for place, row in rows):
        found.setdefault((fact.prompt, fact.subject, fact.target_new), fact)
    return tuple(found.values())


def _chain(row: _Row) -> list[Record]:
    """What is asked about a chain's end, once for each spelling of the answer."""
    place, cells = row[0], _cells(row, "questions", "new_answer", "new_answer_alias")
    asked = cells.texts("questions")
    if not asked:
        raise place.error('"questions" is missing or empty', "fill it in or remove the row")
    record = Record(f"{place.number}/multihop", asked[0], cells.text("new_answer"), paraphrases=asked[1:])
    return right_answers(record, cells.texts("new_answer_alias"))


def _hops(row: _Row, column: str) -> Iterator[Record]:
    """The single steps of a chain, once for each spelling of the answer."""
    hops = row[1].get(column)
    if not isinstance(hops, list | tuple) or not all(isinstance(hop, Mapping) for hop in hops):
        raise row[0].error(f'"{column}" is no list of questions', "give objects with question and answer")
    for i, hop in enumerate(hops):
        cells = _cells((row[0], hop), "question", "answer", "answer_alias")
        record = Record(f"{row[0].number}/{column}/{i}", cells.text("question"), cells.text("answer"))
        yield from right_answers(record, cells.texts("answer_alias"))


def _cells(row: _Row, *names: str) -> Cells:
    return Cells(row[1], {name: name for name in names}, row[0])


def _distinct(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple({(r.prompt, r.answer, r.restated): r for r in records}.values())
