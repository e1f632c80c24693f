"""Models made and kept: each is taught or edited once, saved, and opened again when it is asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from benchmarks.meta_audit.pool import Member
from benchmarks.meta_audit.world import World
from unteach.edit.bake import bake
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.store import load as load_edit
from unteach.edit.store import save
from unteach.lm.load import load
from unteach.lm.model import LM


def make(member: Member, world: World, out: Path) -> None:
    """Teach or edit a model, unless it is there; what it is made of must be there."""
    place = folder_of(member, out)
    if member.known is not None and not place.exists():
        newborn = world.newborn(member.seed)
        taught = learn(newborn, world.lessons(member.known), replace(world.school, seed=member.seed))
        bake(taught, newborn, place)
    if member.edits and not (place / "edit.json").exists():
        save(_edit(member, world, original(member.seed, out)), place)


def folder_of(member: Member, out: Path) -> Path:
    return out / "models" / member.name.replace(" ", "_").replace(",", "")


def original(seed: int, out: Path) -> LM:
    """The original of a seed."""
    return _opened(out / "models" / f"original_{seed}")


@contextmanager
def worn(member: Member, world: World, out: Path) -> Iterator[LM]:
    """A member of the pool as its owner shows it to the audit; only adapters lie over the weights."""
    if member.known is not None:
        yield _opened(folder_of(member, out))
        return
    lm = original(member.seed, out)
    edit = load_edit(folder_of(member, out)) if member.edits else Edit(lm.digest())
    with edit.on(lm):
        guards = [made(world) for made in member.guards]
        lm.guards.extend(guards)
        try:
            yield lm
        finally:
            del lm.guards[len(lm.guards) - len(guards) :]


@cache
def _opened(place: Path) -> LM:
    return load(place)


def _edit(member: Member, world: World, lm: LM) -> Edit:
    """Each maker works on what the ones before it left."""
    first, *rest = member.edits
    made = first(lm, world)
    for maker in rest:
        with made.on(lm):
            after = maker(lm, world)
        made = made.then(after)
    return made
