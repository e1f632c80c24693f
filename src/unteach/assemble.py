"""From a name and flat options to a method: every option goes to the field that it belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, get_type_hints

from unteach.registry import checked, entries, find, hint
from unteach.schema import InputError, Request

HELP = "unteach forget --help"


class Method(Protocol):
    """A frozen dataclass that turns a model and a request into an edit (torch stays out of this module)."""

    def __call__(self, lm: Any, request: Request, /) -> Any: ...


def make_method(name: str, options: Mapping[str, Any], *, also: Sequence[str] = ()) -> Method:
    """A method by its name, `finetune` with the objective or `guarded` with the guard of that name, from flat options.

    A text for `instead` names a file of replacement answers, one a line; `also` are names that a mistyped option may
    have meant.
    """
    methods, objectives, guards = ({e.name for e in entries(kind)} for kind in ("method", "objective", "guard"))
    chained = "+" in name  # guards, one behind the other
    if not chained and name not in methods | objectives | guards:
        raise InputError(f"there is no method '{name}'; {hint(name, methods | objectives | guards)}")
    part = {} if name in methods else {"objective": name} if name in objectives else {"guards": name}
    cls = find("method", name if not part else "finetune" if name in objectives else "guarded")
    given = {**options, **part}
    if isinstance(given.get("instead"), str):
        given["instead"] = _answers(Path(given["instead"]))
    return _assemble(cls, given, name, also)


def seeded(name: str, options: Mapping[str, Any], seed: int) -> Method:
    """The method with a seed, where it draws anything."""
    made = make_method(name, options)
    return make_method(name, {**options, "seed": seed}) if "seed" in settings(made) else made


def _answers(path: Path) -> tuple[str, ...]:
    try:
        found = path.read_text(encoding="utf-8").splitlines() if path.is_file() else None
    except (OSError, UnicodeDecodeError):
        found = None
    if found is None:
        raise InputError(f"{path}: cannot be read as text; give one replacement answer a line")
    lines = tuple(line.strip() for line in found if line.strip())
    if not lines:
        raise InputError(f"{path}: holds no replacement answers; write one a line")
    return lines


def _assemble(cls: type[Any], given: dict[str, Any], name: str, also: Sequence[str]) -> Method:
    """Hand every option to the field, the nested dataclass or the objective that it belongs to."""
    hints = get_type_hints(cls)
    nested = {f.name: hints[f.name] for f in fields(cls) if is_dataclass(hints[f.name])}
    own = {f.name for f in fields(cls)} - set(nested) - {"options"}
    homes: dict[str, set[str]] = {"": own} | {n: {f.name for f in fields(t)} for n, t in nested.items()}
    if "options" in hints and "objective" in own:
        goal = _goal(given.get("objective", str(_default(cls, "objective"))))
        homes["options"] = {f.name for f in fields(goal)}
    elif "options" in hints and "guards" in own:
        named = str(given.get("guards", _default(cls, "guards"))).split("+")
        homes["options"] = {f.name for g in named for f in fields(find("guard", g.strip())) if f.repr}
    parts: dict[str, dict[str, Any]] = {home: {} for home in homes}
    for key, value in given.items():
        home = next((h for h, keys in homes.items() if key in keys), None)
        if home is None:
            known = set().union(*homes.values()) - {part for part in ("objective", "guards") if given.get(part) == name}
            meant = hint(key, known, otherwise="it has", also=also)
            raise InputError(f"method '{name}' has no option '{key}'; {meant}")
        parts[home][key] = value
    begun = {n: vars(_default(cls, n)) for n in nested}
    inner: dict[str, Any] = {
        n: checked(t, begun[n] | parts[n], f"method '{name}'", see=HELP) for n, t in nested.items()
    }
    if "options" in homes:
        inner["options"] = parts["options"]
        if "objective" in own:
            checked(goal, parts["options"], f"method '{name}'")
            inner["options"] = {k: float(v) for k, v in parts["options"].items()}
    made: Method = checked(cls, parts[""] | inner, f"method '{name}'")
    return made


def _goal(name: str) -> Any:
    """The class of an objective; one of the user's own may lack what training reads."""
    goal = find("objective", name)
    if not is_dataclass(goal):
        raise InputError(f"objective '{name}' is no dataclass; put @dataclass(frozen=True) before it")
    if lacking := [a for a in ("needs", "role", "retain", "weight") if not hasattr(goal, a)]:
        raise InputError(f"objective '{name}' does not say its {', '.join(lacking)}; give it these class attributes")
    return goal


def _default(cls: type[Any], name: str) -> Any:
    """What a method has where nothing is given; a nested dataclass may be begun otherwise than by itself."""
    found = next(f for f in fields(cls) if f.name == name)
    return found.default if found.default_factory is MISSING else found.default_factory()


def settings(made: Method) -> dict[str, Any]:
    """A method's options as flat JSON, for the report."""
    found: dict[str, Any] = {}
    for f in fields(made):  # type: ignore[arg-type]
        value = getattr(made, f.name)
        if is_dataclass(value) or isinstance(value, Mapping):
            found |= dict(value) if isinstance(value, Mapping) else vars(value)
        elif not isinstance(value, tuple):
            found[f.name] = value
    return found
