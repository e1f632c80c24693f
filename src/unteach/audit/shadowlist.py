"""Shadow models by a list of them: where each lies, how it came about, and which rows it was trained with."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from unteach.audit.shadows import Shadow, World, ask_shadow, asked
from unteach.data import read
from unteach.lm.load import inspect
from unteach.lm.model import LM
from unteach.schema import InputError, Record

NAME = "shadows.json"
KEYS = ("model", "world", "members")
WORLDS: tuple[World, ...] = get_args(World)
HOW = 'write [{"model": ..., "world": ..., "members": ...}, ...]'
WHICH = "write all, none, a file of records or a list of their ids"


@dataclass(frozen=True)
class Listed:
    """One model of the list; `members` are the ids of the rows that it was trained with."""

    model: str
    world: World
    members: frozenset[str] = field(repr=False)


def read_list(source: str | Path, sets: Mapping[str, Sequence[Record]]) -> tuple[Listed, ...]:
    """The models that a JSON file names, or the shadows.json of a folder; `sets` holds all rows by their sets.

    Each is a mapping: `model`, a folder (from the file's own on) or hub id; `world`, one of in, out and unlearned;
    `members`, the rows that it was trained with: "all" of those to forget, "none", a list of their ids, or a file of
    records, whose rows are matched by their content. Left out, it is "none" in the world out and "all" in the others.
    Raises `InputError` for whatever is wrong with it, before any model is opened.
    """
    file = Path(source) / NAME if Path(source).is_dir() else Path(source)
    entries = _entries(file)
    return tuple(_listed(entry, f"{file}, model {i}", file.parent, sets) for i, entry in enumerate(entries, 1))


def ask_list(
    models: Sequence[Listed], sets: Mapping[str, Sequence[Record]],
    opened: Callable[[str], AbstractContextManager[LM]], say: Callable[[str], None],
) -> tuple[Shadow, ...]:  # fmt: skip
    """What each says about the rows of all sets; the models are opened one after another."""
    found = []
    for i, listed in enumerate(models, 1):
        say(f"shadow model {i} of {len(models)}")
        with opened(listed.model) as lm:
            found.append(ask_shadow(lm, sets, listed.members, listed.world))
    return tuple(found)


def _entries(file: Path) -> list[Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as missing:
        raise InputError(
            f"{file}: cannot be read; name a list of shadow models, or the folder that holds one"
        ) from missing
    except (ValueError, RecursionError) as damaged:
        raise InputError(f"{file}: not valid JSON; {HOW}") from damaged
    if not isinstance(found, list) or not found:
        raise InputError(f"{file}: not a list of models; {HOW}")
    return found


def _listed(entry: Any, place: str, folder: Path, sets: Mapping[str, Sequence[Record]]) -> Listed:
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str) or not entry["model"]:
        raise InputError(f"{place}: does not say which model it is; {HOW}")
    if unknown := [key for key in entry if key not in KEYS]:
        raise InputError(f"{place}: there is no key '{unknown[0][:40]}'; there are {', '.join(KEYS)}")
    world = entry.get("world")
    if world not in WORLDS:
        raise InputError(f"{place}: its world is none of {', '.join(WORLDS)}; write one of them")
    members = _members(entry.get("members", "none" if world == "out" else "all"), place, folder, sets)
    forget = {r.id for r in sets["forget"]}
    if world != "out" and entry.get("members", "all") not in ("none", []) and not members:
        raise InputError(f"{place}: none of its members is a row of this audit; {WHICH}")
    if world == "out" and members & forget:
        raise InputError(f"{place}: was trained with rows to forget and is not out; write the world in or unlearned")
    if world == "unlearned" and not members & forget:
        raise InputError(f"{place}: had no row to forget and unlearned none; write the world out")
    model = _near(entry["model"], folder)
    if Path(model).is_dir():
        inspect(Path(model))
    elif Path(model).exists() or model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise InputError(f"{place}: there is no such model; name a folder, from that of the list on, or a hub id")
    return Listed(model, world, members)


def _members(given: Any, place: str, folder: Path, sets: Mapping[str, Sequence[Record]]) -> frozenset[str]:
    """The ids of those of our rows that a model was trained with."""
    if given == "none":
        return frozenset()
    if given == "all":
        return frozenset(r.id for r in sets["forget"])
    ours = [r for records in sets.values() for r in records]
    if isinstance(given, str):
        named = {asked(r) for r in read(_near(given, folder)).records}
        return frozenset(r.id for r in ours if asked(r) in named)
    if isinstance(given, list) and all(isinstance(i, str) for i in given):
        return frozenset(given) & {r.id for r in ours}
    raise InputError(f"{place}: its members are not understood; {WHICH}")


def _near(name: str, folder: Path) -> str:
    """A path from the list's own folder on, where there is something; else as it stands."""
    return str(folder / name) if (folder / name).exists() else name
