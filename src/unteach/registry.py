"""Names to things: one decorator, a look-up that reads the source before it imports anything, and building from a mapping.

`entries` parses the files of the packages below (and of the plugins that installed distributions announce in
the entry-point group ``unteach``), so that listing works where torch is missing; `find` imports the one
module that a name lives in.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from math import isfinite
from pathlib import Path
from traceback import extract_tb
from typing import Any, ClassVar, TypeVar, get_origin

from unteach.schema import InputError

KINDS = ("objective", "method", "learner", "guard", "metric", "attack", "benchmark", "data", "command")
PACKAGES = ("methods", "audit", "data", "cli")
PROMISES = {
    "objective": "empirical",
    "method": "empirical",
    "guard": "suppression",
}  # where a class is silent
CITATION = re.compile(
    r"[A-Z][\w'’-]+(?: (?:et al\.|(?:and|&) [A-Z][\w'’-]+))? \(?\d{4}\)?(?:, arXiv:\d{4}\.\d{4,5})?|arXiv:\d{4}\.\d{4,5}"
)

T = TypeVar("T", bound=Callable[..., Any])
C = TypeVar("C")


@dataclass(frozen=True)
class Option:
    """A field of a registered class: its name, its type and its default as they are written."""

    name: str
    type: str
    default: str


@dataclass(frozen=True)
class Entry:
    """What is known of a registered thing without running it."""

    name: str
    kind: str
    family: str
    guarantee: str
    paper: str
    needs: tuple[str, ...]
    tested_by: str
    summary: str
    module: str
    qualname: str
    options: tuple[Option, ...] = ()
    doc: str = ""


_LIVE: dict[tuple[str, str], Any] = {}


def register(kind: str, name: str, *, tested_by: str = "") -> Callable[[T], T]:
    """Enter a class (or, for commands, a function) under a name; `tested_by` is the test of its defining property."""

    def enter(thing: T) -> T:
        standing = _LIVE.get((kind, name))
        if standing is not None and standing.__module__ != thing.__module__:
            raise InputError(f"{kind} '{name}' is already registered by {standing.__module__}; choose another name")
        thing.__registered__ = (kind, name, tested_by)  # type: ignore[attr-defined]
        _LIVE[kind, name] = thing
        return thing

    return enter


def _decorator(kind: str) -> Callable[..., Callable[[T], T]]:
    def decorate(name: str, *, tested_by: str = "") -> Callable[[T], T]:
        return register(kind, name, tested_by=tested_by)

    decorate.__name__ = kind
    return decorate


objective = _decorator("objective")
method = _decorator("method")
learner = _decorator("learner")
guard = _decorator("guard")
metric = _decorator("metric")
attack = _decorator("attack")
benchmark = _decorator("benchmark")
data = _decorator("data")
command = _decorator("command")


def entries(kind: str | None = None) -> tuple[Entry, ...]:
    """All registered things (of one kind), sorted by kind and name, found without importing their modules."""
    found = {(e.kind, e.name): e for path, module in _sources() for e in _read(path, module)}
    found |= {key: _of_live(*key, thing) for key, thing in _LIVE.items() if key not in found}
    wanted = [e for e in found.values() if kind in (None, "all", e.kind)]
    return tuple(sorted(wanted, key=lambda e: (KINDS.index(e.kind), e.name)))


def entry(kind: str, name: str) -> Entry:
    """The entry of one name; an unknown one is refused with the names that exist."""
    known = {e.name: e for e in entries(kind)}
    if name not in known:
        raise InputError(f"there is no {kind} '{name}'; {hint(name, known)}")
    return known[name]


def hint(name: str, known: Iterable[str], *, otherwise: str = "there are", also: Iterable[str] = ()) -> str:
    """What was probably meant by a name that is unknown (`also` among others), or else the names that there are."""
    names = sorted(set(known))
    close = get_close_matches(name, [*names, *also], n=1)
    return f"did you mean '{close[0]}'?" if close else f"{otherwise} {', '.join(names) or 'none'}"


def find(kind: str, name: str) -> Any:
    """The registered class itself; imports its module."""
    if (kind, name) not in _LIVE:
        found = entry(kind, name)
        try:
            import_module(found.module)
        except ModuleNotFoundError as missing:
            raise InputError(f"{kind} '{name}' needs the package '{missing.name}'; install unteach[train]") from missing
    return _LIVE[kind, name]


def name_of(thing: Any) -> str:
    """The registered name of a class or of an instance of it."""
    name: str = thing.__registered__[1]
    return name


def build(kind: str, name: str, options: Mapping[str, Any]) -> Any:
    """An instance from a mapping of its fields; unknown and ill-typed options are refused by name."""
    return checked(find(kind, name), options, f"{kind} '{name}'")


def checked(cls: type[C], options: Mapping[str, Any], what: str, *, see: str = "unteach show") -> C:
    """A dataclass from untyped values ("0.1", "true"), checked by its annotations; unknown options are refused.

    So are numbers that are not finite. `see` is the command that tells more.
    """
    from pydantic import TypeAdapter, ValidationError  # here: a look-up should not pay for it

    _refuse_unknown(cls, options, what)
    try:
        made = TypeAdapter(cls).validate_python(dict(options))
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False, include_context=False)[0]
        where = f", option '{_place(cls, first['loc'])}'" if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{what}{where}: {message[:1].lower()}{message[1:]}; see `{see}`") from None
    for name, value in vars(made).items():
        if isinstance(value, float) and not isfinite(value):
            raise InputError(f"{what}, option '{name}': not a finite number; see `{see}`")
    return made


def _place(cls: Any, steps: tuple[int | str, ...]) -> str:
    inner = {f.name: f.type for f in fields(cls)}.get(str(steps[0]))
    return f"{steps[0]}.{_place(inner, steps[1:])}" if len(steps) > 1 and is_dataclass(inner) else str(steps[0])


def _refuse_unknown(cls: Any, options: Mapping[str, Any], what: str, within: str = "") -> None:
    known = {f.name: f.type for f in fields(cls) if f.init}
    for key, value in options.items():
        if key not in known:
            names = ", ".join(sorted(f"{within}{k}" for k in known)) or "none"
            raise InputError(f"{what} has no option '{within}{key}'; it has {names}")
        if is_dataclass(known[key]) and isinstance(value, Mapping):
            _refuse_unknown(known[key], value, what, f"{within}{key}.")


def load_plugin(path: str | Path) -> None:
    """Run a Python file that registers things of the user's own; one that fails is refused with the line it failed on."""
    file = Path(path)
    if not file.is_file() or file.suffix != ".py":
        raise InputError(f"{file}: no such Python file; name one that registers a method or a metric")
    spec = spec_from_file_location(f"unteach_plugin_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)  # where dataclasses look annotations up
    try:
        spec.loader.exec_module(module)
    except BaseException as wrong:
        del sys.modules[spec.name]
        if isinstance(wrong, InputError | KeyboardInterrupt):
            raise
        what = f"the plugin stopped with {type(wrong).__name__}"
        raise InputError.at(file, _line(wrong, str(spec.origin)), what, "mend it there") from wrong


def _line(wrong: BaseException, file: str) -> int | None:
    """Where in a file an error arose: the innermost of its lines."""
    if isinstance(wrong, SyntaxError) and wrong.filename == file:
        return wrong.lineno
    return next((f.lineno for f in reversed(extract_tb(wrong.__traceback__)) if f.filename == file), None)


@cache
def _sources() -> tuple[tuple[Path, str], ...]:
    root = Path(__file__).parent
    found: list[tuple[Path, str]] = []
    for package in PACKAGES:
        for file in sorted([*(root / package).rglob("*.py"), *root.glob(f"{package}.py")]):
            dotted = ".".join(("unteach", *file.relative_to(root).with_suffix("").parts))
            found.append((file, dotted.removesuffix(".__init__")))
    for point in entry_points(group="unteach"):
        spec = find_spec(point.module)
        if spec is not None and spec.origin:
            found.append((Path(spec.origin), point.module))
    return tuple(found)


@cache
def _read(path: Path, module: str) -> tuple[Entry, ...]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(_of_source(node, call, module) for node, call in _decorated(tree))


def _decorated(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef, ast.Call]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in KINDS:
                    yield node, call


def _of_source(node: ast.ClassDef | ast.FunctionDef, call: ast.Call, module: str) -> Entry:
    assert isinstance(call.func, ast.Name)
    kind, name = call.func.id, ast.literal_eval(call.args[0])
    keywords = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    constants: dict[str, Any] = {}
    options: list[Option] = []
    for line in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            constants[line.targets[0].id] = _literal(line.value)
        elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            kind_of = ast.unparse(line.annotation)
            if kind_of.startswith("ClassVar"):
                constants[line.target.id] = _literal(line.value)
            else:
                default = ast.unparse(line.value) if line.value is not None else ""
                options.append(Option(line.target.id, kind_of, default))
    doc = ast.get_docstring(node) or ""
    return _entry(kind, name, keywords.get("tested_by", ""), module, node.name, constants, tuple(options), doc)


def _of_live(kind: str, name: str, thing: Any) -> Entry:
    options = tuple(
        Option(f.name, f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type)),
               "" if f.default is MISSING else repr(f.default))
        for f in (fields(thing) if is_dataclass(thing) else ())
        if get_origin(f.type) is not ClassVar
    )  # fmt: skip
    constants = {key: getattr(thing, key) for key in ("needs", "guarantee") if hasattr(thing, key)}
    tested_by = thing.__registered__[2]
    return _entry(kind, name, tested_by, thing.__module__, thing.__qualname__, constants, options, thing.__doc__ or "")


def _entry(
    kind: str, name: str, tested_by: str, module: str, qualname: str,
    constants: Mapping[str, Any], options: tuple[Option, ...], doc: str,
) -> Entry:  # fmt: skip
    parts = module.split(".")
    cited = CITATION.findall(doc)
    return Entry(
        name=name,
        kind=kind,
        family=parts[-2] if len(parts) > 2 else parts[-1],
        guarantee=constants.get("guarantee") or PROMISES.get(kind, ""),
        paper=max(cited, key=len) if cited else "",
        needs=tuple(sorted(constants.get("needs") or ())),
        tested_by=tested_by,
        summary=doc.strip().split("\n")[0],
        module=module,
        qualname=qualname,
        options=options,
        doc=doc,
    )


def _literal(value: ast.expr | None) -> Any:
    """The value of a constant as it is written; `frozenset({...})` is read as its set, what is computed as None."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "frozenset":
        return frozenset(ast.literal_eval(value.args[0])) if value.args else frozenset()
    try:
        return ast.literal_eval(value) if value is not None else None
    except ValueError:
        return None
