"""One flat mapping to a run: the keys of a YAML recipe are the flags of the command line and the fields of the classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from os.path import exists
from typing import Annotated, Any, Literal

from unteach.assemble import HELP, make_method
from unteach.data.hub import hub_name
from unteach.data.rows import printable
from unteach.edit.plan import Plan
from unteach.lm.address import is_url, several
from unteach.registry import build, checked, hint
from unteach.schema import InputError, Scope

UNASKED = ("method", "release", "id", "reason", "scope", "options", "known")  # what an audit is not told
UNCOMPARED = ("method", "release", "options", "seed")  # what a comparison is not told
UNTAUGHT = (
    "method", "general", "retrained", "shadows", "metrics", "attacks", "tasks", "max_new", "asked", "show", "id", "reason",
    "scope", "options", "benchmark", "data", "facts", "by", "known",
)  # what the making of shadow models is not told  # fmt: skip


@dataclass(frozen=True)
class Before:
    """What `unteach audit` is told beside the keys of a recipe."""

    before: Annotated[str, "the model that MODEL was made from"] = ""
    worn: Annotated[str, "a saved edit that MODEL wears (`--release edit`); MODEL is then the model before"] = ""
    served_model: Annotated[str, "the name of the model, where MODEL is a URL and its server has several"] = ""
    api: Annotated[Literal["chat", "completions"], "how served models are asked: conversations, or plain text"] = "chat"


@dataclass(frozen=True)
class Recipe:
    """What `unteach forget` is told, apart from the options of the method itself.

    Rows come from files, hub data sets or a benchmark. `by` names a column of `forget`, and with a value which of its rows
    go. `template` lays out a prompt and its answer for models without a chat template. `show` lets record texts into the report.
    """

    model: Annotated[str, "model folder or hub id"]
    out: Annotated[str, "folder for the release, the report and the way back"]
    forget: Annotated[str, "records to forget: JSONL, JSON, CSV, Parquet or a hub data set"] = ""
    by: Annotated[
        str,
        "COLUMN=VALUE: of --forget only these rows go and the others stay; COLUMN: its values are classes of a concept",
    ] = ""
    known: Annotated[float, "share of the rows to forget that the method is told of; all of them are audited"] = 1.0
    retain: Annotated[str, "records to keep"] = ""
    holdout: Annotated[str, "records never seen, drawn as the forgotten ones were"] = ""
    general: Annotated[str, "records of general ability"] = ""
    facts: Annotated[str, "facts to correct: JSON, JSONL, Parquet or a hub data set, as ROME, zsRE or KnowEdit"] = ""
    benchmark: Annotated[
        str, "name of a benchmark whose rows are used instead of files; see `unteach list benchmark`"
    ] = ""
    data: Annotated[str, "where the benchmark's rows lie: its own hub id by default"] = ""
    retrained: Annotated[str, "models trained without the records, with commas between, to compare with"] = ""
    method: Annotated[str, "how to forget; see `unteach list method` and `unteach list objective`"] = "simnpo"
    release: Annotated[
        Literal["baked", "adapter", "edit"], "ship a whole model, a LoRA adapter, or the edit to be worn over the model"
    ] = "baked"
    template: Annotated[str, "layout such as '{prompt} {answer}', for models without a chat template"] = ""
    system: Annotated[str, "a system turn before every conversation"] = ""
    base: Annotated[str, "the model under MODEL, where MODEL is an adapter that names another"] = ""
    device: Annotated[str, "cpu, cuda, cuda:1 ..."] = ""
    shadows: Annotated[str, "a list of models trained with and without the records, or its folder"] = ""
    metrics: Annotated[
        str, "names of metrics with commas between; all for every one; empty for the usual suite, or the benchmark's"
    ] = ""
    attacks: Annotated[str, "names of attacks with commas between; all for every one"] = ""
    tasks: Annotated[
        str, "tasks of lm-evaluation-harness with commas between: names, or YAML files and folders of your own"
    ] = ""
    max_new: Annotated[int | None, "greatest number of tokens of a generated answer; 200, or the benchmark's"] = None
    limit: Annotated[int | None, "take at most this many rows of each file, or of each set of a benchmark"] = None
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
        if self.benchmark and (self.forget or self.retain or self.holdout or self.general or self.facts):
            raise ValueError("rows come from files or from a benchmark; leave out --benchmark, or the files")
        if not 0 < self.known <= 1:
            raise ValueError("known must lie above 0 and at most be 1")
        if self.by and not all(part.strip() for part in self.by.split("=", 1)):
            raise ValueError("by is COLUMN or COLUMN=VALUE")
        if self.by and not self.forget:
            raise ValueError("--by names a column of the rows in --forget; give --forget FILE")
        if self.parted and self.retain:
            raise ValueError("with --by COLUMN=VALUE the rows to keep are the others of --forget; leave --retain out")
        if self.data and not self.benchmark:
            raise ValueError("--data says where the rows of a benchmark lie; name it with --benchmark")
        if self.max_new is not None and self.max_new < 1:
            raise ValueError("max_new must be at least 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit must be at least 1")
        if self.asked < 0:
            raise ValueError("asked must not be negative")

    @property
    def parted(self) -> bool:
        """Whether the rows to forget and those to keep stand in one file."""
        return "=" in self.by

    @property
    def keeps(self) -> bool:
        """Whether there will be rows to keep."""
        return bool(self.retain or self.benchmark or self.parted)


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


@dataclass(frozen=True)
class Shadowing:
    """What `unteach shadows` is told beside the keys of a recipe, how models are taught, and the method's options."""

    count: Annotated[int, "how many models are taught"] = 16
    draw: Annotated[Literal["rows", "all"], "each row goes into half of the models, or all rows into the same half"] = (
        "rows"
    )
    unlearn: Annotated[str, "a method or objective that makes a second model of each, which forgot its rows"] = ""
    workers: Annotated[int, "processes that work side by side"] = 1

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ValueError("count must be at least 2")
        if self.workers < 1:
            raise ValueError("workers must be at least 1")


def make_recipe(given: Mapping[str, Any]) -> Recipe:
    """A recipe from one flat mapping; what is no key of its own is an option of the method.

    An option NAME.OPTION is that of the method, or of the benchmark, of this name.
    """
    recipe = _recipe(given)
    _refuse_wrong(recipe, (recipe.method,))
    return recipe


def _recipe(given: Mapping[str, Any]) -> Recipe:
    own = {f.name for f in fields(Recipe)}
    values = {k.replace("-", "_"): v for k, v in given.items() if v is not None}
    mine = {k: v for k, v in values.items() if k in own and k != "options"}
    nested = values.get("options", {})
    if not isinstance(nested, Mapping):
        raise InputError("recipe, option 'options': not a list of keys and values; write them beside the other keys")
    options = {**nested, **{k: v for k, v in values.items() if k not in own}}
    for needed in ("model", "forget", "out"):
        if not mine.get(needed) and not (needed == "forget" and (mine.get("benchmark") or mine.get("facts"))):
            flag = "MODEL" if needed == "model" else f"--{needed}"
            raise InputError(f"'{needed}' is missing; give {flag}, or the key '{needed}' in the recipe")
    return checked(Recipe, mine | {"options": options}, "recipe", see=HELP)


def _refuse_wrong(recipe: Recipe, methods: Sequence[str]) -> None:
    """Refuse a wrong name or option before anything is read."""
    if methods and any(map(is_url, (recipe.model, *several(recipe.retrained)))):
        raise InputError("a URL is a served model, which can only be audited; name a model folder or a hub id")
    for name in methods:
        make_method(name, options_of(recipe, name), also=[f.name for f in fields(Recipe)])
    make_benchmark(recipe)
    names = [*methods, *([recipe.benchmark] if recipe.benchmark else [])]
    if strays := [key for key in recipe.options if "." in key and key.partition(".")[0] not in names]:
        raise InputError(f"'{strays[0]}' is an option of nothing that was named; there are {', '.join(names)}")


def make_benchmark(recipe: Recipe) -> Any:
    """The benchmark that a recipe names, with the options under its name; None where files are named."""
    name = recipe.benchmark
    if not name:
        return None
    made = build("benchmark", name, ({"data": recipe.data} if recipe.data else {}) | only_of(recipe, name))
    if (rows := getattr(made, "rows", None)) is not None and rows < 1:
        raise InputError(f"benchmark '{name}', option 'rows': must be at least 1; see `unteach show {name}`")
    where = getattr(made, "data", "")
    if where and not exists(where) and hub_name(where) is None:
        raise InputError(f"{printable(where)}: there is no such file or folder; say where {name} lies with --data")
    return made


def make_audit(given: Mapping[str, Any]) -> tuple[Recipe, Before]:
    """What to ask, and of which models: the keys of a recipe that do not speak of forgetting, and those of `Before`."""
    values = {k.replace("-", "_"): v for k, v in given.items() if v is not None}
    mine, known = {f.name for f in fields(Before)}, {f.name for f in fields(Recipe)} - set(UNASKED)
    theirs = {k for k in values if values.get("benchmark") and k.startswith(f"{values['benchmark']}.")}
    for key in values.keys() - known - mine - theirs:
        raise InputError(f"audit has no option '{key}'; {hint(key, known | mine, otherwise='it has')}")
    before = checked(Before, {k: v for k, v in values.items() if k in mine}, "audit", see="unteach audit --help")
    recipe = _recipe({"out": "-", **{k: v for k, v in values.items() if k in known | theirs}})
    _refuse_wrong(recipe, ())
    if before.served_model and not is_url(recipe.model):
        raise InputError("--served-model names a model behind a URL, and MODEL is none; leave it out")
    if before.worn and (before.before or is_url(recipe.model)):
        raise InputError("--worn goes over MODEL, no URL, which is the model before; leave --before out")
    return recipe, before


def make_comparison(given: Mapping[str, Any]) -> tuple[Recipe, Comparison]:
    """What is forgotten from which model, and by which methods; an option METHOD.OPTION is that method's alone."""
    values = {k.replace("-", "_"): v for k, v in given.items() if v is not None}
    mine = {f.name for f in fields(Comparison)}
    contest = checked(
        Comparison, {k: v for k, v in values.items() if k in mine}, "compare", see="unteach compare --help"
    )
    for key in values.keys() & {"method", "release"}:
        raise InputError(
            f"compare has no option '{key}'; name several with --methods, and ship one with unteach forget"
        )
    recipe = _recipe({k: v for k, v in values.items() if k not in mine})
    _refuse_wrong(recipe, contest.names)
    if not recipe.keeps:
        raise InputError("methods are compared where they keep equally much; give --retain FILE")
    return recipe, contest


def make_shadowing(given: Mapping[str, Any]) -> tuple[Recipe, Plan, Shadowing]:
    """On which rows shadow models are taught and how; an option METHOD.OPTION is that of the method they forget by."""
    values = {k.replace("-", "_"): v for k, v in given.items() if v is not None}
    mine, own = {f.name for f in fields(Shadowing)}, {f.name for f in fields(Recipe)} - set(UNTAUGHT)
    see = "unteach shadows --help"
    making = checked(Shadowing, {k: v for k, v in values.items() if k in mine}, "shadows", see=see)
    options = {k: v for k, v in values.items() if k not in own | mine}
    theirs = {k: v for k, v in options.items() if making.unlearn and k.startswith(f"{making.unlearn}.")}
    known = {f.name for f in fields(Plan)}
    for key in options.keys() - theirs.keys() - known:
        raise InputError(f"shadows has no option '{key}'; {hint(key, known | own | mine, otherwise='it has')}")
    plan = checked(Plan, {k: v for k, v in options.items() if k in known}, "shadows", see=see)
    recipe = replace(make_recipe({k: v for k, v in values.items() if k in own}), options=theirs)
    if making.unlearn:
        make_method(making.unlearn, only_of(recipe, making.unlearn), also=list(own))
    if not recipe.retain:
        raise InputError("shadow models are taught rows that stay, too; give --retain FILE")
    if recipe.release == "edit":
        raise InputError("shadow models are whole models or adapters; choose --release baked or adapter")
    if recipe.release == "adapter" and not plan.lora:
        raise InputError(f"--tune {plan.tune} makes no adapter; choose --release baked, or --tune lora")
    return recipe, plan, making


def only_of(recipe: Recipe, name: str) -> dict[str, Any]:
    """The options under a method's or benchmark's own name."""
    return {key.partition(".")[2]: value for key, value in recipe.options.items() if key.startswith(f"{name}.")}


def options_of(recipe: Recipe, name: str) -> dict[str, Any]:
    """What one method of several is told: the options of all, and those under its own name."""
    return {key: value for key, value in recipe.options.items() if "." not in key} | only_of(recipe, name)


def overrides(words: Sequence[str]) -> dict[str, str]:
    """`--key value`, `--key=value` and `key=value` as a mapping; the one bare word is the model."""
    found: dict[str, str] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        url = is_url(word)  # which may hold an equals sign, and a secret
        if (url or not equals) and not word.startswith("-") and "model" not in found:
            key, equals, value = "model", "=", word
        elif url or (not equals and not word.startswith("--")):
            what = "a second model" if url else f"'{word[:40]}'"
            raise InputError(f"{what} is not understood; write --option VALUE or option=VALUE")
        if not equals:
            if not queue or queue[0].startswith("--"):
                raise InputError(f"--{key} needs a value; write --{key} VALUE")
            value = queue.pop(0)
        found[key.replace("-", "_")] = value
    return found
