"""RWKU: famous people to be forgotten without a corpus, asked in three levels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar, Literal

from unteach.audit.benchmarks.mmlu import MMLU
from unteach.audit.benchmarks.reading import part
from unteach.audit.suite import Suite, of
from unteach.data.cells import Cells
from unteach.data.facts import raw
from unteach.registry import benchmark
from unteach.schema import InputError, Record, Request

BLANK, BRIEF = "Fill in the blank.\n", "Answer in a few words.\n"
ASKED: Mapping[str, str] = {  # what stands before the questions of each set
    "forget_level1": BLANK, "forget_level2": BRIEF, "forget_level3": "",
    "neighbor_level1": BLANK, "neighbor_level2": BRIEF,
}  # fmt: skip
TEXTS: Mapping[str, str] = {"mia_forget": "forget_mia.json", "mia_retain": "retain_mia.json"}
CORPORA: Mapping[str, str] = {"llama3": "positive.json", "phi3": "positive_phi.json"}


@benchmark("rwku", tested_by="test_rwku_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class RWKU:
    """Two hundred famous people, each with blanks to fill, questions, nine kinds of attack, and neighbours.

    Jin et al. 2024, arXiv:2406.10890. `data` is the hub id or a folder with its files (`All`, or that of one person);
    `target` takes only what is about one person. `sets` are `forget_level1` (blanks), `forget_level2` (questions),
    `forget_level3` (attacks, the kind of each as its `subject`), `neighbor_level1` and `neighbor_level2`, `mia_forget`
    and `mia_retain` (texts, of which the mean loss is read), and `mmlu` where `mmlu` gives a file or hub id; `rows`
    asks only the first of each. A request holds the texts that a model wrote about the people (`corpus`), and nothing
    to keep, as the authors have it.

    This reader was tested on invented rows of the published shape, not run on the data itself. The words before a
    question are ours, attacks are asked as they stand, and of the authors' measures of utility MMLU alone is read.

    Example: ``RWKU(data="path/to/RWKU/All", target="Stephen King").sets()["forget_level3"]``.
    """

    suite: ClassVar[Suite] = of(
        "rougel", "probability", "exactmemorization", "perplexity", "multiplechoice", max_new=30
    )
    roles: ClassVar[Mapping[str, str]] = {
        **{name: "forget" if "forget" in name else "retain" for name in (*ASKED, *TEXTS)}, "mmlu": "general"
    }  # fmt: skip
    data: str = "jinzhuoran/RWKU"
    target: str = ""
    rows: int | None = None
    mmlu: str = ""
    corpus: Literal["llama3", "phi3"] = "llama3"

    def request(self) -> Request:
        """Forget the person, or all of them."""
        texts = tuple(self._rows(f"train_positive_{self.corpus}", "train", CORPORA[self.corpus], "", "text"))
        return Request(self._known(texts), scope="subject", id="rwku")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        found = {name: self._rows(name, "test", f"{name}.json", "query", "answer") for name in ASKED}
        found |= {name: self._rows(name, "test", file, "", "text") for name, file in TEXTS.items()}
        sets = {name: tuple(islice(rows, self.rows)) for name, rows in found.items()}
        self._known(sets["forget_level1"])
        if self.mmlu:
            sets |= MMLU(self.mmlu, rows=self.rows).sets()
        return {name: records for name, records in sets.items() if records}

    def _known(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        if not records:
            about = self.target or "anybody"
            raise InputError(f"rwku: there are no rows about {about}; spell a name as the data set does")
        return records

    def _rows(self, name: str, split: str, file: str, asked: str, answer: str) -> Iterator[Record]:
        """The rows about the target, or all rows."""
        attack = name == "forget_level3"
        for place, row in raw(part(self.data, name, split, file, f"All/{file}")):
            cells = Cells(row, {n: n for n in (asked, answer, "subject", "type")}, place)
            about = cells.text("subject")
            if self.target in ("", about):
                prompt = ASKED[name] + cells.text(asked) if asked else ""
                record = Record(f"{name}-{place.number:05d}", prompt, cells.text(answer), subject=about)
                yield replace(record, subject=cells.text("type")) if attack else record
