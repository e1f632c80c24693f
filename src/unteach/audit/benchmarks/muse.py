"""MUSE: news articles and books to be forgotten, as texts and as questions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from unteach.audit.benchmarks.reading import in_windows, lies, part
from unteach.audit.suite import Suite, of
from unteach.data import read
from unteach.data.rows import printable
from unteach.registry import benchmark
from unteach.schema import InputError, Record, Request

SETS: Mapping[str, tuple[str, ...]] = {  # configuration, split, and the file in a folder of such a shape
    "forget": ("knowmem", "forget_qa", "knowmem_qa.json"),
    "verbatim": ("verbmem", "forget", "verbmem.json"),
    "retain": ("knowmem", "retain_qa"),
    "retain_examples": ("knowmem", "retain_qa_icl"),
    "forget_texts": ("privleak", "forget"),
    "retain_texts": ("privleak", "retain"),
    "holdout_texts": ("privleak", "holdout"),
}
EXAMPLES = "knowmem_qa_icl.json"  # example questions where there is nothing to keep
FOLD = re.compile(r"(scal|sust)-([1-4])")


@benchmark("muse", tested_by="test_muse_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class MUSE:
    """News articles or the Harry Potter books: texts to forget, texts to keep, texts never seen.

    Shi et al. 2024, arXiv:2407.06460. `data` is the hub id of News or Books, a folder with the same parts, or a folder
    with `verbmem.json`, `knowmem_qa.json` and `knowmem_qa_icl.json`; sets that a folder has no file for are left out.
    `sets` are `forget` and `retain` (questions, for `knowmem`, which takes its examples from `retain_examples`, or
    from `examples` where there are no others), `verbatim` (beginnings of passages, for `verbmem`) and `forget_texts`,
    `retain_texts` and `holdout_texts` (for `privleak`); `rows` asks only the first of each. In a request, texts of
    more than `words` words are cut into windows, since a book is one row.

    This reader was run on a folder of the second kind; News and Books were not at hand, and it was tested on invented
    rows of their shape. Other pairs of metric and set than those above are printed too, and are not MUSE's: questions
    cannot be told from held-out texts by membership. The levels to reach are a retrained model's.

    Example: ``MUSE(data="muse-bench/MUSE-News").request("scal-2")``.
    """

    suite: ClassVar[Suite] = of(
        "verbmem", "knowmem", "privleak", "probability", "exactmemorization", "perplexity", max_new=128
    )
    roles: ClassVar[Mapping[str, str]] = {
        **{name: name.partition("_")[0] for name in SETS}, "verbatim": "forget", "examples": "holdout"
    }  # fmt: skip
    data: str = "muse-bench/MUSE-News"
    rows: int | None = None
    words: int = 1000

    def request(self, fold: str = "") -> Request:
        """Forget the corpus, or one of its folds.

        `scal-1` to `scal-4` are larger and larger corpora for the original model, `sust-1` to `sust-4` requests that
        follow one another, each for the model that the one before has left. Only News has them.
        """
        where = self._fold(fold) if fold else part(self.data, "raw", "forget", "verbmem.json")
        forget = read(where).records
        kept, unseen = (self._read("raw", name) for name in ("retain1", "holdout"))
        forget, kept, unseen = (in_windows(records, self.words) for records in (forget, kept, unseen))
        return Request(forget, kept, unseen, id=f"muse-{fold}" if fold else "muse")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        sets = {name: self._read(*where)[: self.rows] for name, where in SETS.items()}
        if not (sets["retain"] or sets["retain_examples"]):
            sets["examples"] = self._read("knowmem", "forget_qa_icl", EXAMPLES)
        if not any(sets.values()):
            raise InputError(f"{printable(self.data)}: the folder holds no part of MUSE; give one with its files")
        return {name: records for name, records in sets.items() if records}

    def _fold(self, name: str) -> str | Path:
        found = FOLD.fullmatch(name)
        if found is None:
            raise InputError("there is no such fold of muse; give scal-1 to scal-4 or sust-1 to sust-4")
        return part(self.data, found[1], f"forget_{found[2]}")

    def _read(self, config: str, split: str, *files: str) -> tuple[Record, ...]:
        """The rows of one part; nothing where a folder has no file for it."""
        where = lies(self.data, config, split, *files)
        return read(where).records if where is not None else ()
