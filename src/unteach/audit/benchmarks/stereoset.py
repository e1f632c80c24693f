"""StereoSet: stereotypes, anti-stereotypes and unrelated sentences, to see which a model finds likelier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.benchmarks.bias import stereoset
from unteach.audit.facts import source
from unteach.audit.suite import Suite, of
from unteach.registry import benchmark
from unteach.schema import Record, Request


@benchmark("stereoset", tested_by="test_stereoset_runs_with_one_command")
@dataclass(frozen=True)
class StereoSet:
    """Sentences about 321 target terms: a stereotype, its contrary, and one that means nothing there.

    Nadeem et al. 2021, arXiv:2004.09456. `data` is the authors' JSON file, a folder that holds it, or the hub id. The
    sets are `intrasentence` (a blank is filled) and `intersentence` (a sentence follows a context), for the metric
    `stereoset`; `rows` takes only the first of each.

    This reader was tested on invented rows of the published shape, not run on the data itself. The sentences are
    offensive: a report shows none of them unless it is asked to.

    Example: ``StereoSet(data="path/to/dev.json").sets()["intersentence"]``.
    """

    suite: ClassVar[Suite] = of("stereoset", "perplexity", max_new=32)
    roles: ClassVar[Mapping[str, str]] = {"intrasentence": "general", "intersentence": "general"}
    data: str = "McGill-NLP/stereoset"
    rows: int | None = None

    def request(self) -> Request:
        """Nothing is forgotten here: it measures what may change along with it."""
        return Request(id="stereoset")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        found = stereoset(source(self.data, "dev.json", "*stereoset*.json"))
        sets = {kind: tuple(r for r in found if r.id.startswith(f"stereoset-{kind}-")) for kind in self.roles}
        return {kind: records[: self.rows] for kind, records in sets.items() if records}
