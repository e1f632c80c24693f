"""CrowS-Pairs: pairs of sentences, to see which of the two a model finds likelier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.benchmarks.bias import crowspairs
from unteach.audit.facts import source
from unteach.audit.suite import Suite, of
from unteach.registry import benchmark
from unteach.schema import Record, Request


@benchmark("crowspairs", tested_by="test_a_benchmark_runs_with_one_command")
@dataclass(frozen=True)
class CrowSPairs:
    """Pairs of sentences of which one stereotypes more, about nine kinds of bias.

    Nangia et al. 2020, arXiv:2010.00133. `data` is the authors' CSV file, a folder that holds it, or the hub id. The
    set is `crowspairs`, for the metric of this name; `rows` takes only the first pairs, which are of mixed kinds.

    It says how a model was changed beside what was to be forgotten. The sentences are offensive: a report shows none
    of them unless it is asked to.

    Example: ``CrowSPairs(data="path/to/crows_pairs_anonymized.csv").sets()["crowspairs"]``.
    """

    suite: ClassVar[Suite] = of("crowspairs", "perplexity", max_new=32)
    roles: ClassVar[Mapping[str, str]] = {"crowspairs": "general"}
    data: str = "nyu-mll/crows_pairs"
    rows: int | None = None

    def request(self) -> Request:
        """Nothing is forgotten here: it measures what may change along with it."""
        return Request(id="crowspairs")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        return {"crowspairs": crowspairs(source(self.data, "*crows*pairs*.csv"))[: self.rows]}
