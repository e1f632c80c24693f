"""KnowUnDo: what should be forgotten beside what is like it and should not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from unteach.audit.benchmarks.reading import part
from unteach.audit.suite import Suite, of
from unteach.data import read
from unteach.data.cells import Cells
from unteach.data.facts import raw
from unteach.data.files import opened, text
from unteach.data.jsonfiles import whole
from unteach.data.rows import Place, printable
from unteach.registry import benchmark
from unteach.schema import Record, Request, record_id

SETS: Mapping[str, tuple[str, Literal["train", "val"]]] = {
    "forget": ("unlearn", "train"),
    "forget_other": ("unlearn", "val"),
    "retain": ("retention", "train"),
    "retain_other": ("retention", "val"),
}
PAIR = {"text": "text", "labels": "labels"}


@benchmark("knowundo", tested_by="test_knowundo_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class KnowUnDo:
    """Private facts of invented people, or passages of books, beside what may be told of the same people and books.

    Tian et al. 2024, arXiv:2407.01920. `data` is the hub id, or a folder with its files or with a list for each split
    (`unlearn_train.json`). A request holds the training rows. `sets` are these, `forget` and `retain`, and the
    questions that are kept from it, `forget_other` and `retain_other`; `rows` asks only the first of each.

    The half `privacy` was read from lists; the hub's own files, and so `copyright`, were not at hand: their shape is
    tested on invented rows.

    Example: ``KnowUnDo(data="path/to/knowundo", domain="privacy").request()``.
    """

    suite: ClassVar[Suite] = of(
        "kfr", "krr", "linguisticscore", "rougel", "probability", "exactmemorization", "perplexity", "refusalrate",
        max_new=128,
    )  # fmt: skip
    roles: ClassVar[Mapping[str, str]] = {name: name.partition("_")[0] for name in SETS}
    data: str = "zjunlp/KnowUnDo"
    domain: Literal["privacy", "copyright"] = "privacy"
    rows: int | None = None

    def request(self) -> Request:
        """Forget what is private or protected, keep the rest."""
        return Request(self._part("forget"), self._part("retain"), scope="concept", id=f"knowundo-{self.domain}")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        return {name: self._part(name)[: self.rows] for name in SETS}

    def _part(self, name: str) -> tuple[Record, ...]:
        kind, split = SETS[name]
        file = f"{kind}_{split}.json"
        where = part(self.data, self.domain, kind, f"{self.domain}/{file}", file, f"{kind}.json")
        if isinstance(where, Path) and where.name == file:
            return read(where).records
        return tuple(_both(where, split))


def _both(where: str | Path, split: str) -> Iterator[Record]:
    """The rows of one split where a file holds both, each as a list."""
    seen: set[str] = set()
    for row in _objects(where):
        listed = row.get(split)
        place = Place(f"{printable(where)}, {split}", "row")
        if not isinstance(listed, list) or not listed:
            raise place.error("there is no list of rows", 'give the two lists "train" and "val"')
        for number, item in enumerate(listed, 1):
            here = place.at(number)
            if not isinstance(item, Mapping):
                raise here.error("this is not an object", "give text and labels")
            cells = Cells(item, PAIR, here)
            asked, answer = cells.text("text"), cells.text("labels")
            name = record_id(asked, answer)
            yield Record(name if name not in seen else f"{name}-{number}", asked, answer)
            seen.add(name)


def _objects(where: str | Path) -> Iterator[Mapping[str, object]]:
    """The one object of a file, or the rows of the hub, which are as many."""
    if isinstance(where, str):
        yield from (row for _, row in raw(where))
        return
    place = Place(printable(where))
    with opened(where, place) as file:
        found = whole(text(file, place), place)
    if not isinstance(found, Mapping):
        raise place.error("this is not an object", 'give the two lists "train" and "val"')
    yield found
