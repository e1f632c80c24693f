"""zsRE: counterfactual answers to questions about relations."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from unteach.audit.facts import ROLES, fact_sets, source
from unteach.audit.suite import Suite, of
from unteach.data.facts import collect, raw
from unteach.registry import benchmark
from unteach.schema import Fact, Record, Request


@benchmark("zsre", tested_by="test_zsre_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class ZsRE:
    """Questions with a new answer each, one rephrasing, and one unrelated question.

    Levy et al. 2017, arXiv:1706.04115; as edits Mitchell et al. 2022, arXiv:2110.11309, whose columns it has. `data`
    is a file, a folder that holds one, or a hub id whose rows have these columns. `sets` are `facts`, `rephrased`
    and `neighbours`; `rows` takes only the first. Rows whose new answer is empty are left out.

    Example: ``ZsRE(data="path/to/zsre_mend_eval.json", rows=1000).request()``.
    """

    suite: ClassVar[Suite] = of("reliability", "generalisation", "locality", "ngramentropy", max_new=100)
    roles: ClassVar[Mapping[str, str]] = ROLES
    data: str = "zjunlp/KnowEdit"
    rows: int | None = None

    def request(self) -> Request:
        """Correct every fact."""
        return Request(facts=self._facts(), scope="fact", id="zsre")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        return fact_sets(self._facts())

    def _facts(self) -> tuple[Fact, ...]:
        where = source(self.data, "*zsre*eval*.json", "*zsre*.json")
        return collect(islice(((place, row) for place, row in raw(where) if row.get("alt") != ""), self.rows))
