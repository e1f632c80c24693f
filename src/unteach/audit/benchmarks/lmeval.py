"""Tasks of lm-evaluation-harness: loaded once, and asked of one model after another."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import TemplateError, UndefinedError

from unteach.audit.scoring import UNOBSERVABLE
from unteach.audit.suite import Suite
from unteach.audit.taskfiles import is_file, refuse_code, tasks_in
from unteach.lm.respondent import Respondent
from unteach.registry import benchmark
from unteach.report.glossary import HARNESS
from unteach.schema import Direction, InputError, Request, Score

try:
    from lm_eval.api.registry import METRIC_REGISTRY
    from lm_eval.evaluator import evaluate
    from lm_eval.tasks import TaskManager

    from unteach.audit.harness import HarnessLM, wanted
    from unteach.audit.sandbox import hushed, sandbox
except ModuleNotFoundError as missing:
    lacking = f"tasks of lm-evaluation-harness need the package '{missing.name}'"
    raise InputError(f"{lacking}; pip install 'unteach[eval]'") from missing

FREE = "generate_until"
SHOTS_SEED = 1234  # that of the harness: the examples shown are the same for every model
DRAWS = 1000  # resamplings behind a standard error that no formula gives
MISFITS = (TemplateError, LookupError, TypeError, ValueError)  # what comes of rows that a task did not expect
WAYS: Mapping[Any, Direction] = {True: "up", False: "down"}

Scores = dict[str, tuple[Score, ...]]  # by task, or group of tasks


@benchmark("lmeval", tested_by="test_a_plain_model_has_the_numbers_of_the_harness")
@dataclass(frozen=True)
class LMEval:
    """Any task of lm-evaluation-harness, asked of a model with its edits worn and its guards in force.

    Gao et al. 2024, doi:10.5281/zenodo.12608602. `tasks` are names with commas between (those of groups and patterns
    such as `arc_*` too), or YAML files and folders of your own, which are data: one that would run code is refused.
    `limit` asks only the first rows of each task.

    Metrics are those of the harness and keep its names behind `lm-eval/`; an interval is 1.96 standard errors to either
    side. Prompts are given as they stand, without a chat template. A plain model has the numbers that the harness gives
    for it. Behind a guard that makes log-probabilities meaningless only free answers are scored.

    A benchmark of general ability says nothing of what was forgotten, and may itself have been trained on.

    Example: ``harness(lm, "arc_easy,my_tasks/", limit=100)["arc_easy"]``.
    """

    suite: ClassVar[Suite] = Suite(())
    roles: ClassVar[Mapping[str, str]] = {}
    tasks: str = ""
    limit: int | None = None

    def request(self) -> Request:
        """None: tasks ask, and say nothing of what should be forgotten."""
        raise InputError("lmeval has tasks and no rows to forget; give the rows in files, and the tasks with --tasks")

    def sets(self) -> dict[str, Any]:
        """None: what a task asks is put together by the harness."""
        return {}

    @contextmanager
    def opened(self) -> Iterator[Callable[[Respondent], Scores]]:
        """The tasks, ready to be asked of models; their data is gone afterwards."""
        names = [name.strip() for name in self.tasks.split(",") if name.strip()]
        if not names:
            raise InputError("no task was named; give names with commas between, or YAML files")
        if self.limit is not None and self.limit < 1:
            raise InputError("benchmark 'lmeval', option 'limit': must be at least 1; see `unteach show lmeval`")
        with sandbox():
            loaded = _load(names)
            yield lambda lm: _asked(lm, loaded, self.limit)


def harness(lm: Respondent, tasks: str, *, limit: int | None = None) -> Scores:
    """The scores of one model on tasks of lm-evaluation-harness, by the name of the task or group."""
    with LMEval(tasks, limit).opened() as ask:
        return ask(lm)


def _load(names: list[str]) -> dict[str, Any]:
    folders = [name for name in names if is_file(name) and Path(name).is_dir()]
    for name in filter(is_file, names):
        refuse_code(Path(name), METRIC_REGISTRY.keys())
    try:
        with hushed():
            local = all(map(is_file, names))
            manager = TaskManager(include_path=folders, include_defaults=not local) if folders or local else _shipped()
            loaded: dict[str, Any] = manager.load([spec for name in names for spec in _specs(manager, name)])
    except InputError:
        raise
    except Exception as wrong:  # the harness, the hub and the readers of data share no base class
        why = f": {wrong}".splitlines()[0] if isinstance(wrong, FileNotFoundError | UndefinedError) else ""
        what = f"{', '.join(names)}: these tasks cannot be loaded ({type(wrong).__name__}{why})"
        raise InputError(f"{what}; check names, files and the network") from None
    for name, task in loaded["tasks"].items():
        _check(name, task)
    return loaded


@cache
def _shipped() -> Any:
    """What the harness brings; to look through it takes a while."""
    return TaskManager()


def _specs(manager: TaskManager, name: str) -> list[str]:
    if is_file(name):
        return tasks_in(Path(name)) if Path(name).is_dir() else [name]
    found: list[str] = manager.match_tasks([name])
    if not found:
        close = get_close_matches(name, manager.all_tasks, n=1)
        meant = f"did you mean '{close[0]}'?" if close else "`lm-eval ls tasks` lists those that there are"
        meant = f"write '{name}/' for the folder" if Path(name).is_dir() else meant
        raise InputError(f"lm-evaluation-harness has no task '{name}'; {meant}")
    return found


def _check(name: str, task: Any) -> None:
    """Refuse, before anything is asked, what cannot be asked here; and set what is drawn for every model alike."""
    if getattr(task, "UNSAFE_CODE", False):
        raise InputError(f"task '{name}' runs code that a model wrote; leave it out")
    if getattr(task, "MULTIMODAL", False):
        raise InputError(f"task '{name}' shows pictures or plays sounds; leave it out")
    if task.OUTPUT_TYPE == FREE:
        wanted(task.get_config("generation_kwargs") or {})
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)


def _asked(lm: Respondent, loaded: Mapping[str, Any], limit: int | None) -> Scores:
    readable = lm.held is not None and lm.observable
    tasks = {name: task for name, task in loaded["tasks"].items() if readable or task.OUTPUT_TYPE == FREE}
    groups = loaded["groups"] if len(tasks) == len(loaded["tasks"]) else {}
    found = {name: _unobservable(task) for name, task in loaded["tasks"].items() if name not in tasks}
    for task in tasks.values():
        task.set_fewshot_seed(seed=SHOTS_SEED)
    try:
        with hushed():
            results = evaluate(
                HarnessLM(lm), {"tasks": tasks, "groups": groups}, limit=limit, bootstrap_iters=DRAWS, log_samples=False
            ) if tasks else {"results": {}}  # fmt: skip
    except MISFITS as wrong:
        raise InputError(f"a row does not fit its task ({type(wrong).__name__}); mend the task or its data") from None
    return found | {name: _scores(results, name) for name in results["results"]}


def _unobservable(task: Any) -> tuple[Score, ...]:
    better = task.higher_is_better()
    return tuple(
        Score(HARNESS + metric, None, note=UNOBSERVABLE, direction=WAYS.get(better.get(metric), "target"))
        for metric in task.aggregation()
    )


def _scores(results: Mapping[str, Any], name: str) -> tuple[Score, ...]:
    found, better, scores = results["results"][name], results["higher_is_better"].get(name, {}), []
    for key, value in found.items():
        metric, _, kept = key.partition(",")
        if not kept or metric.endswith("_stderr") or not isinstance(value, Real):
            continue
        error = found.get(f"{metric}_stderr,{kept}")
        known = isinstance(error, Real) and isfinite(error)
        low, high = (float(value - 1.96 * error), float(value + 1.96 * error)) if known else (None, None)
        title = HARNESS + (metric if kept == "none" else f"{metric} ({kept})")
        way = WAYS.get(better.get(metric), "target")
        scores.append(Score(title, float(value), low, high, int(found.get("sample_len", 0)), direction=way))
    return tuple(scores)
