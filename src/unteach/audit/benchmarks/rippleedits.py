"""RippleEdits: what should change along with a fact, and what should not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import ClassVar, Literal

from unteach.audit.facts import fact_sets, right_answers, source
from unteach.audit.suite import Suite, of
from unteach.data.cells import Cells
from unteach.data.facts import collect, raw
from unteach.data.rows import Place
from unteach.registry import benchmark
from unteach.schema import Fact, Record, Request

AXES: Mapping[str, str] = {
    "Logical_Generalization": "portability",
    "Compositionality_I": "portability",
    "Compositionality_II": "portability",
    "Subject_Aliasing": "portability",
    "Relation_Specificity": "neighbours",
    "Forgetfulness": "neighbours",
}
OF_SUBJECT = ("Relation_Specificity", "Logical_Generalization", "Compositionality_I")  # call the subject by its name
AROUND = {"the", "name", "names", "of", "is", "are", "by", "in", "which", "has", "to"}  # beside a subject in a prompt

_Row = tuple[Place, Mapping[str, object]]


@benchmark("rippleedits", tested_by="test_rippleedits_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class RippleEdits:
    """Changed facts with questions along six axes.

    Cohen et al. 2024, arXiv:2307.12976. `data` is a file of the authors' or their folder `data/benchmark`. `sets`
    are `facts` and one for each axis: logical generalisation, compositionality I and II and subject aliasing are
    what should follow, relation specificity and forgetfulness what should stay; `rows` takes only the first rows.

    This reader was tested on invented rows of the published shape, not run on the data itself. Where it departs
    from the authors: each question of a test, and each of several answers to it, counts by itself; a test is asked
    whatever the model knew before, so that the original's score must be read beside. Their rows name a subject by
    number: it is found as what a row's questions about that number have in common. The new answer is what follows the
    words that the new and the old statement begin with. An edit that changes nothing is left out, and so is their part
    of recent facts, which have no old statement.

    Example: ``RippleEdits(data="path/to/data/benchmark", part="random", rows=100).sets()["compositionality_i"]``.
    """

    suite: ClassVar[Suite] = of("reliability", "multihop", "ngramentropy", max_new=30)
    roles: ClassVar[Mapping[str, str]] = {"facts": "facts", **{axis.lower(): role for axis, role in AXES.items()}}
    data: str = "data/benchmark"
    part: Literal["popular", "random"] = "popular"
    rows: int | None = None

    def request(self) -> Request:
        """Correct every fact, all at once."""
        return Request(facts=_facts(self._rows()), scope="fact", id=f"rippleedits-{self.part}")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        rows = self._rows()
        found = {axis.lower(): tuple(_axis(rows, axis)) for axis in AXES}
        return fact_sets(_facts(rows)) | {name: records for name, records in found.items() if records}

    def _rows(self) -> list[_Row]:
        rows = raw(source(self.data, f"{self.part}.json"))
        return list(islice((row for row in rows if _sentence(row, _edit(row)) != _sentence(row, _old(row))), self.rows))


def _facts(rows: list[_Row]) -> tuple[Fact, ...]:
    return collect((row[0], _fact(row)) for row in rows)


def _fact(row: _Row) -> dict[str, object]:
    """The statement without its answer, which is where it parts from the old one."""
    new, old = _sentence(row, _edit(row)), _sentence(row, _old(row))
    alike = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(new, old, strict=False))))
    prompt, target = " ".join(new[:alike]), " ".join(new[alike:])
    if not prompt or not target:
        raise row[0].error("the new statement does not go on otherwise than the old one", "repair or remove it")
    return {
        "prompt": prompt, "subject": _subject(row, new[:alike]), "target_new": target,
        "ground_truth": " ".join(old[alike:]),
    }  # fmt: skip


def _edit(row: _Row) -> Mapping[str, object]:
    found = row[1].get("edit")
    if not isinstance(found, Mapping):
        raise row[0].error('"edit" is missing', "give a row of the authors' popular or random part")
    return found


def _old(row: _Row) -> Mapping[str, object]:
    """What the fact was: the published files and their description name it differently."""
    edit = _edit(row)
    found = edit.get("original_fact", edit.get("previous_fact"))
    if not isinstance(found, Mapping):
        raise row[0].error(
            "the edit does not say what it replaces", "give a row of the authors' popular or random part"
        )
    return found


def _sentence(row: _Row, fact: Mapping[str, object]) -> list[str]:
    return Cells(fact, {"prompt": "prompt"}, row[0]).text("prompt").rstrip(" .").split()


def _subject(row: _Row, stem: list[str]) -> str:
    """The longest run of words of a statement that all questions about its subject have, without what links them."""
    number = _edit(row).get("subject_id")
    asked = [
        f" {q.text('prompt')} " for axis in OF_SUBJECT for q in _queries(row, axis) if q.row.get("subject_id") == number
    ]
    runs = [stem[i:j] for i in range(len(stem)) for j in range(i + 1, len(stem) + 1)]
    held = [_trimmed(run) for run in runs if asked and all(f" {' '.join(run)} " in text for text in asked)]
    found = max((run for run in held if any(c.isupper() or c.isdigit() for c in run)), key=len, default="")
    if not found:
        raise row[0].error("the subject cannot be told from the row's questions", "repair or remove it")
    return found


def _trimmed(run: list[str]) -> str:
    while run and run[0].lower() in AROUND:
        run = run[1:]
    while run and run[-1].lower() in AROUND:
        run = run[:-1]
    return " ".join(run)


def _axis(rows: list[_Row], axis: str) -> Iterator[Record]:
    """The questions of an axis, once for each spelling of each answer; those without an answer are left out."""
    for row in rows:
        for i, cells in enumerate(_queries(row, axis)):
            for k, answer in enumerate(_objects(cells.get("answers"), "answers", row[0])):
                named = Cells(answer, {name: name for name in ("value", "aliases")}, row[0])
                if named.optional("value"):
                    record = Record(
                        f"{row[0].number}/{axis.lower()}/{i}/{k}", cells.text("prompt"), named.text("value")
                    )
                    yield from right_answers(record, named.texts("aliases"))


def _queries(row: _Row, axis: str) -> Iterator[Cells]:
    """The questions of the tests of an axis."""
    for test in _objects(row[1].get(axis), axis, row[0]):
        for query in _objects(test.get("test_queries"), "test_queries", row[0]):
            yield Cells(query, {name: name for name in ("prompt", "answers")}, row[0])


def _objects(value: object, name: str, place: Place) -> Sequence[Mapping[str, object]]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(item, Mapping) for item in value):
        raise place.error(f'"{name}" is no list of objects', "repair or remove it")
    return value
