"""CounterFact: true statements to be replaced by false ones of the same form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.facts import ROLES, fact_sets, source
from unteach.audit.suite import Suite, of
from unteach.data.facts import read_facts
from unteach.registry import benchmark
from unteach.schema import Fact, Record, Request


@benchmark("counterfact", tested_by="test_counterfact_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class CounterFact:
    """Statements with a new object each, two rephrasings, and ten about other subjects with the old object.

    Meng et al. 2022, arXiv:2202.05262. `data` is a file, a folder that holds one, or a hub id, with ROME's records or
    with the flat ones of EasyEdit, which have one rephrasing and one neighbour. `sets` are `facts`, `rephrased` and
    `neighbours`; `rows` takes only the first.

    Example: ``CounterFact(data="path/to/counterfact.json", rows=1000).request()``.
    """

    suite: ClassVar[Suite] = of("romescore", "reliability", "generalisation", "locality", "ngramentropy", max_new=100)
    roles: ClassVar[Mapping[str, str]] = ROLES
    data: str = "azhx/counterfact:default:test"
    rows: int | None = None

    def request(self) -> Request:
        """Correct every fact."""
        return Request(facts=self._facts(), scope="fact", id="counterfact")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        return fact_sets(self._facts())

    def _facts(self) -> tuple[Fact, ...]:
        return read_facts(source(self.data, "*counterfact*rome*.json", "*counterfact*.json"), limit=self.rows)
