"""The scores of tasks of lm-evaluation-harness in a report, beside what the suite asked."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version

from unteach.audit.models import Worn, worn
from unteach.registry import build
from unteach.schema import InputError, Report, Row, Score

NOTE = "Tasks of lm-evaluation-harness are no gates: no verdict here heeds them."


def loadable(tasks: str) -> None:
    """Load the tasks once before the long work, so that this does not end in a refusal."""
    if tasks:
        with build("benchmark", "lmeval", {"tasks": tasks}).opened():
            pass


def tasked(
    report: Report, models: Mapping[str, Worn], tasks: str, limit: int | None, progress: Callable[[str], None]
) -> Report:
    """The report with every model's scores on the tasks; each task is a set of the role `general`."""
    if not tasks:
        return report
    found: dict[str, dict[str, tuple[Score, ...]]] = {}
    with build("benchmark", "lmeval", {"tasks": tasks, "limit": limit}).opened() as ask:
        for name, model in models.items():
            progress(f"tasks: {name}")
            with worn(model) as lm:
                found[name] = ask(lm)
    sizes = {task: max(s.n for s in scores) for by in found.values() for task, scores in by.items() if scores}
    if taken := sizes.keys() & report.sets.keys():
        raise InputError(f"task '{min(taken)}' is called as a set of rows is; give it another name")
    rows = [Row(name, task, s) for name, by in found.items() for task in by for s in by[task]]
    known = {(r.set, r.score.name) for r in rows if r.score.value is not None}
    lost = dict.fromkeys(
        f"{r.score.name} on {r.set}: {r.score.note}" for r in rows if (r.set, r.score.name) not in known
    )
    return replace(
        report,
        sets={**report.sets, **{task: {"n": n, "role": "general"} for task, n in sizes.items() if n}},
        scores=(*report.scores, *(r for r in rows if (r.set, r.score.name) in known)),
        environment={**report.environment, "lm-eval": version("lm_eval")},
        untested=(*report.untested, *lost),
        notes=(*report.notes, NOTE),
    )
