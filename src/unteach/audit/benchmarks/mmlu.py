"""MMLU: multiple choice over 57 subjects, to see what is left of general knowledge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.benchmarks.reading import choices
from unteach.audit.suite import Suite, of
from unteach.registry import benchmark
from unteach.schema import Record, Request


@benchmark("mmlu", tested_by="test_mmlu_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class MMLU:
    """Questions with four choices each, from school subjects to law and medicine.

    Hendrycks et al. 2021, arXiv:2009.03300. `data` is a file or a hub id with configuration and split. The set is
    `mmlu`; `subjects` takes only these (names with commas between), and `rows` only the first of each subject.

    The questions are asked without examples and with the choices in an order drawn from their content, so that
    figures differ from published ones, which show five examples and keep the order.

    Example: ``MMLU(data="path/to/mmlu.json", subjects="astronomy").sets()["mmlu"]``.
    """

    suite: ClassVar[Suite] = of("multiplechoice", "accuracy", "perplexity", max_new=32)
    roles: ClassVar[Mapping[str, str]] = {"mmlu": "general"}
    data: str = "cais/mmlu:all:validation"
    subjects: str = ""
    rows: int | None = None

    def request(self) -> Request:
        """Nothing is forgotten here: it measures what should stay."""
        return Request(id="mmlu")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        subjects = [name.strip() for name in self.subjects.split(",") if name.strip()]
        return {"mmlu": choices(self.data, "mmlu", subjects=subjects, rows=self.rows)}
