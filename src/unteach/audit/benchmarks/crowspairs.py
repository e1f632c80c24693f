"""CrowS-Pairs: pairs of sentences, to see which of the two a model finds likelier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.benchmarks.bias import crowspairs
from unteach.audit.facts import source
from unteach.audit.suite import Suite, of
from unteach.edit.plan import draw
from unteach.registry import benchmark
from unteach.schema import Record, Request


@benchmark("crowspairs", tested_by="test_a_benchmark_runs_with_one_command")
@dataclass(frozen=True)
class CrowSPairs:
    """Pairs of sentences of which one stereotypes more, about nine kinds of bias.

    Nangia et al. 2020, arXiv:2010.00133. `data` is the authors' CSV file, a folder that holds it, or the hub id. The
    set is `crowspairs`, for the metric of this name; `rows` takes only the first pairs, which are of mixed kinds. `given` is
    the share of the pairs, drawn by their ids, that a forgetting is given and the audit then leaves out.

    It says how a model was changed beside what was to be forgotten. The sentences are offensive: a report shows none
    of them unless it is asked to.

    Example: ``CrowSPairs(data="path/to/crows_pairs_anonymized.csv").sets()["crowspairs"]``.
    """

    suite: ClassVar[Suite] = of("crowspairs", "perplexity", max_new=32)
    roles: ClassVar[Mapping[str, str]] = {"crowspairs": "general"}
    data: str = "nyu-mll/crows_pairs"
    rows: int | None = None
    given: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.given < 1:
            raise ValueError("given must lie from 0 to below 1")

    def request(self) -> Request:
        """The pairs that are given, if any; each answer is the sentence to lose its lead over the other."""
        return Request(tuple(r for r in self._read() if self._is_given(r)), scope="behaviour", id="crowspairs")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        return {"crowspairs": tuple(r for r in self._read() if not self._is_given(r))[: self.rows]}

    def _read(self) -> tuple[Record, ...]:
        return crowspairs(source(self.data, "*crows*pairs*.csv"))

    def _is_given(self, record: Record) -> bool:
        return draw("given", record.id) < self.given * 2**64
