"""A benchmark run from its rows to a report, and what that report must hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tofu_models import opened

from unteach.audit.audit import audit
from unteach.audit.suite import Suite
from unteach.edit.edit import Edit
from unteach.edit.patches import Add
from unteach.lm.anatomy import anatomy
from unteach.registry import build
from unteach.schema import Report


def run(shared: Path, name: str, **options: Any) -> tuple[Any, Report]:
    """The benchmark, and the report on a model with little damage beside the model as it was."""
    task = build("benchmark", name, options)
    lm, worn = opened(shared, "tiny_tofu_llama"), opened(shared, "tiny_tofu_llama")
    weight = f"{anatomy(lm.model).norm}.weight"
    noise = 0.1 * lm.parameters()[weight].detach().flip(0)
    edit = Edit(base=worn.digest(), weights={weight: (Add(noise),)})
    suite = task.suite
    short = Suite(suite.metrics, max_new=min(suite.max_new, 30) if name != "muse" else suite.max_new)
    report = audit({"original": lm, "edited": lambda: edit.on(worn)}, task.sets(), roles=task.roles, suite=short)
    return task, report


def check(report: Report, sets: Mapping[str, int], expected: set[tuple[str, str]]) -> None:
    """The sets have these sizes, and these metrics have a value on them, each within its bounds."""
    assert {name: about["n"] for name, about in report.sets.items()} == sets
    found = {(r.set, r.score.name) for r in report.scores if r.model == "edited" and r.score.value is not None}
    assert found >= expected
    for row in report.scores:
        if row.score.value is not None:
            low, high = build("metric", row.score.name, {}).bounds
            assert low <= row.score.value <= high
