"""KnowEdit: facts with what should follow from them and what should not change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from unteach.audit.facts import fact_roles, fact_sets, source
from unteach.audit.suite import Suite, of
from unteach.data.facts import read_facts
from unteach.registry import benchmark
from unteach.schema import Fact, Record, Request

FILES: Mapping[str, tuple[str, ...]] = {
    "zsre": ("*ZsRE*test*.json", "*ZsRE*.json"),
    "wiki_recent": ("*recent*test*.json",),
    "wiki_counterfact": ("*test_cf*.json", "*counterfact*.json"),
}


@benchmark("knowedit", tested_by="test_knowedit_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class KnowEdit:
    """Facts with portability questions and locality questions, each in kinds.

    Zhang et al. 2024, arXiv:2401.01286. `data` is a file, a hub id, or a folder in which the file of `task` lies; of
    its tasks those are read whose rows are facts with a subject. `sets` are `facts`, `rephrased`, and one for each
    kind, as `portability_reasoning` or `neighbours_relation_specificity`; `rows` takes only the first.

    The authors publish the mean over kinds and then over facts in one place, the mean of each kind in another;
    these scores are the latter.

    Example: ``KnowEdit(data="path/to/KnowEdit/benchmark", rows=100).sets()``.
    """

    suite: ClassVar[Suite] = of("reliability", "generalisation", "locality", "portability", "ngramentropy", max_new=100)
    data: str = "zjunlp/KnowEdit"
    task: Literal["zsre", "wiki_recent", "wiki_counterfact"] = "zsre"
    rows: int | None = None

    @property
    def roles(self) -> Mapping[str, str]:
        """The role of each set: the kinds are those that the rows have."""
        return fact_roles(self.sets())

    def request(self) -> Request:
        """Correct every fact."""
        return Request(facts=self._facts(), scope="fact", id=f"knowedit-{self.task}")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        return fact_sets(self._facts(), kinds=True)

    def _facts(self) -> tuple[Fact, ...]:
        return read_facts(source(self.data, *FILES[self.task]), limit=self.rows)
