"""Tasks of lm-evaluation-harness in YAML files of the user's own: data, which runs no code.

The harness itself imports and calls what a YAML file names behind `!function`. Tasks that it ships may do that, since
whoever installed it trusts it; a file that came from elsewhere may not.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from unteach.schema import InputError

SUFFIXES = (".yaml", ".yml")
RUNS_CODE = ("class", "custom_dataset", "unsafe_code", "use_prompt", "hf_evaluate")  # keys that lead to code
REMEDY = "a task of your own is data and runs no code; write it without"


def is_file(name: str) -> bool:
    """Whether a task is given as a file or folder; `wikitext` is a name even where a folder is called so."""
    return name.endswith(SUFFIXES) or "/" in name


def tasks_in(place: Path) -> list[str]:
    """The names of what a folder holds: its groups, and its tasks that are in none of them."""
    files = sorted(place.rglob("*.yaml"))
    found = [config for file in files if (config := _read(file)) and isinstance(config, dict)]
    members = {m for config in found if "group" in config for m in _members(config.get("task"))}
    names = [str(config.get("group") or config.get("task") or "") for config in found]
    if not any(names):
        raise InputError(f"{place}: holds no YAML file of a task; name a folder with such files")
    return [name for name in dict.fromkeys(names) if name and name not in members]


def refuse_code(place: Path, metrics: Collection[str]) -> None:
    """Refuse a file, or a folder of files, that would run code; `metrics` are the names that the harness knows."""
    if not place.exists():
        raise InputError(f"{place}: there is no such file or folder; name a task, or a YAML file of one")
    pending, seen = sorted(place.rglob("*.yaml")) if place.is_dir() else [place], set[Path]()
    while pending:
        file = pending.pop().resolve()
        if file in seen:
            continue
        seen.add(file)
        config = _read(file)
        for key, value in _pairs(config):
            if key in RUNS_CODE and value:
                raise InputError(f"{file}: holds '{key}', and {REMEDY} it")
            if key == "metric" and value not in metrics:
                raise InputError(f"{file}: holds a metric that lm-evaluation-harness does not have, and {REMEDY} it")
        includes = config.get("include") if isinstance(config, dict) else None
        pending += [file.parent / str(i) for i in (includes if isinstance(includes, list) else [includes]) if i]


def _read(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.constructor.ConstructorError as tagged:
        line = tagged.problem_mark.line + 1 if tagged.problem_mark else None
        raise InputError.at(file, line, "holds a tag such as !function", f"{REMEDY} tags") from None
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError, RecursionError):
        raise InputError(f"{file}: cannot be read as YAML; name a task, or a YAML file of one") from None


def _pairs(config: Any) -> Iterator[tuple[Any, Any]]:
    """Every key with its value, at any depth."""
    for key, value in config.items() if isinstance(config, Mapping) else enumerate(config):
        yield key, value
        if isinstance(value, Mapping | list):
            yield from _pairs(value)


def _members(tasks: Any) -> Iterator[str]:
    for task in tasks if isinstance(tasks, list) else [tasks]:
        yield str((task.get("group") or task.get("task")) if isinstance(task, Mapping) else task)
