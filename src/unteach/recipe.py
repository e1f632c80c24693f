"""One flat mapping to a run: the keys of a YAML recipe are the flags of the command line and the fields of the classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from unteach.assemble import HELP, make_method
from unteach.registry import checked, hint
from unteach.schema import InputError, Scope

UNASKED = ("method", "release", "id", "reason", "scope", "options")  # what an audit is not told
UNCOMPARED = ("method", "release", "options", "seed")  # what a comparison is not told
MISREAD = (ValueError, KeyError, IndexError, AttributeError, TypeError)  # what YAML's reader lets out of odd values


@dataclass(frozen=True)
class Before:
    """What `unteach audit` is told beside the keys of a recipe."""

    before: Annotated[str, "the model that MODEL was made from"] = ""


@dataclass(frozen=True)
class Recipe:
    """What `unteach forget` is told, apart from the options of the method itself.

    `forget`, `retain`, `holdout` and `general` name files of records (or hub data sets); `retrained` a model that
    never saw the rows to forget, where there is one. `release` is baked or adapter. `template` lays out a prompt
    and its answer for models without a chat template. `show` lets record texts into the report.
    """

    model: Annotated[str, "model folder or hub id"]
    forget: Annotated[str, "records to forget: JSONL, JSON, CSV, Parquet or a hub data set"]
    out: Annotated[str, "folder for the release, the report and the way back"]
    retain: Annotated[str, "records to keep"] = ""
    holdout: Annotated[str, "records never seen, drawn as the forgotten ones were"] = ""
    general: Annotated[str, "records of general ability"] = ""
    retrained: Annotated[str, "a model trained without the records, to compare with"] = ""
    method: Annotated[str, "how to forget; see `unteach list method` and `unteach list objective`"] = "simnpo"
    release: Annotated[Literal["baked", "adapter"], "ship a whole model, or a LoRA adapter"] = "baked"
    template: Annotated[str, "layout such as '{prompt} {answer}', for models without a chat template"] = ""
    system: Annotated[str, "a system turn before every conversation"] = ""
    base: Annotated[str, "the model under MODEL, where MODEL is an adapter that names another"] = ""
    device: Annotated[str, "cpu, cuda, cuda:1 ..."] = ""
    metrics: Annotated[str, "names of metrics with commas between; all for every one; empty for the usual suite"] = ""
    attacks: Annotated[str, "names of attacks with commas between; all for every one"] = ""
    max_new: Annotated[int, "greatest number of tokens of a generated answer"] = 200
    limit: Annotated[int | None, "read at most this many rows of each file"] = None
    asked: Annotated[int, "rows of each set that the audit asks, drawn by their ids; 0 for all"] = 400
    near: Annotated[float, "similarity from which rows count as near-duplicates"] = 0.8
    show: Annotated[bool, "let record texts into the report"] = False
    id: Annotated[str, "the id of the request"] = ""
    reason: Annotated[str, "why, for the report"] = ""
    scope: Annotated[Scope, "what is to be forgotten"] = "records"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.near <= 1:
            raise ValueError("near must lie between 0 and 1")
        if self.max_new < 1:
            raise ValueError("max_new must be at least 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit must be at least 1")
        if self.asked < 0:
            raise ValueError("asked must not be negative")


@dataclass(frozen=True)
class Comparison:
    """What `unteach compare` is told beside the keys of a recipe and the options of methods."""

    methods: Annotated[str, "methods or objectives with commas between"] = "graddiff,npo,simnpo"
    seeds: Annotated[str, "whole numbers with commas between"] = "0,1,2"
    workers: Annotated[int, "processes that work side by side"] = 1
    tau: Annotated[float, "share of the original's retention at which methods are compared"] = 0.95

    def __post_init__(self) -> None:
        if not all(s.strip().isdigit() for s in self.seeds.split(",")):
            raise ValueError("seeds must be whole numbers with commas between")
        if self.workers < 1:
            raise ValueError("workers must be at least 1")
        if not 0 < self.tau <= 1:
            raise ValueError("tau must lie between 0 and 1")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n.strip() for n in self.methods.split(",") if n.strip()))

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(int(s) for s in self.seeds.split(",")))


def read_recipe(path: str | Path) -> dict[str, Any]:
    """A YAML file of keys and values; nesting is refused, since every key is a flag too."""
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; name a YAML file of keys and values")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as missing:
        raise InputError(f"{file}: cannot be read; name a YAML file of keys and values") from missing
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8; save it as UTF-8") from None
    except (yaml.YAMLError, RecursionError, *MISREAD) as damaged:
        mark = getattr(damaged, "problem_mark", None)
        raise InputError.at(
            file, mark.line + 1 if mark else None, "not valid YAML", "write one `key: value` a line"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(k, str) for k in found):
        raise InputError(f"{file}: not a list of keys and values; write one `key: value` a line")
    for key, value in found.items():
        if isinstance(value, dict) and key != "options":
            raise InputError(f"{file}: '{key}' holds keys of its own; recipes are flat, write them beside it")
    return found


def make_recipe(given: Mapping[str, Any]) -> Recipe:
    """A recipe from one flat mapping; what is no key of its own is an option of the method."""
    own = {f.name for f in fields(Recipe)}
    values = {k.replace("-", "_"): v for k, v in given.items() if v is not None}
    mine = {k: v for k, v in values.items() if k in own and k != "options"}
    nested = values.get("options", {})
    if not isinstance(nested, Mapping):
        raise InputError("recipe, option 'options': not a list of keys and values; write them beside the other keys")
    options = {**nested, **{k: v for k, v in values.items() if k not in own}}
    for needed in ("model", "forget", "out"):
        if not mine.get(needed):
            flag = "MODEL" if needed == "model" else f"--{needed}"
            raise InputError(f"'{needed}' is missing; give {flag}, or the key '{needed}' in the recipe")
    recipe: Recipe = checked(Recipe, mine | {"options": options}, "recipe", see=HELP)
    make_method(recipe.method, options, also=list(own))  # refuse a wrong option before anything is read
    return recipe


def make_audit(given: Mapping[str, Any]) -> tuple[Recipe, Before]:
    """What to ask, and of which models: the keys of a recipe that do not speak of forgetting, and those of `Before`."""
    values = {k.replace("-", "_"): v for k, v in given.items() if v is not None}
    mine, known = {f.name for f in fields(Before)}, {f.name for f in fields(Recipe)} - set(UNASKED)
    for key in values.keys() - known - mine:
        raise InputError(f"audit has no option '{key}'; {hint(key, known | mine, otherwise='it has')}")
    before = checked(Before, {k: v for k, v in values.items() if k in mine}, "audit", see="unteach audit --help")
    return make_recipe({"out": "-", **{k: v for k, v in values.items() if k in known}}), before


def make_comparison(given: Mapping[str, Any]) -> tuple[Recipe, Comparison]:
    """What is forgotten from which model, and by which methods; an option METHOD.OPTION is that method's alone."""
    values = {k.replace("-", "_"): v for k, v in given.items() if v is not None}
    mine, own = {f.name for f in fields(Comparison)}, {f.name for f in fields(Recipe)}
    contest = checked(
        Comparison, {k: v for k, v in values.items() if k in mine}, "compare", see="unteach compare --help"
    )
    for key in values.keys() & {"method", "release"}:
        raise InputError(
            f"compare has no option '{key}'; name several with --methods, and ship one with unteach forget"
        )
    recipe = make_recipe({k: v for k, v in values.items() if k in own})
    recipe = replace(recipe, options={k: v for k, v in values.items() if k not in own | mine})
    for name in contest.names:
        make_method(name, options_of(recipe, name), also=list(own))  # refuse a wrong option before anything is read
    if not recipe.retain:
        raise InputError("methods are compared where they keep equally much; give --retain FILE")
    return recipe, contest


def options_of(recipe: Recipe, name: str) -> dict[str, Any]:
    """What one method of several is told: the options of all, and those under its own name."""
    own = {key.partition(".")[2]: value for key, value in recipe.options.items() if key.startswith(f"{name}.")}
    return {key: value for key, value in recipe.options.items() if "." not in key} | own


def overrides(words: Sequence[str]) -> dict[str, str]:
    """`--key value`, `--key=value` and `key=value` as a mapping; the one bare word is the model."""
    found: dict[str, str] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if not equals and not word.startswith("-") and "model" not in found:
            key, equals, value = "model", "=", word
        if not equals and not word.startswith("--"):
            raise InputError(f"'{word[:40]}' is not understood; write --option VALUE or option=VALUE")
        if not equals:
            if not queue or queue[0].startswith("--"):
                raise InputError(f"--{key} needs a value; write --{key} VALUE")
            value = queue.pop(0)
        found[key.replace("-", "_")] = value
    return found
