"""Editors ready for use: read from a folder, or trained on the spot."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from unteach.data.facts import question
from unteach.edit.patches import AddOuter
from unteach.edit.plan import draw
from unteach.lm.dice import seeded
from unteach.lm.model import LM
from unteach.methods.facts.gradients import Change, gradients, mlp_maps, patches
from unteach.methods.facts.lessons import Lesson, of_request, row, told
from unteach.methods.facts.practice import SPOT, Practice
from unteach.methods.facts.trained import Kind, fill, kind_in, save
from unteach.methods.facts.training import Losses, embedded, practise
from unteach.registry import name_of
from unteach.schema import Fact, Request


class Learned(Protocol):
    """A method whose editor has to be trained."""

    @property
    def editor(self) -> str: ...

    @property
    def blocks(self) -> int: ...

    @property
    def practice(self) -> Practice: ...

    @property
    def sizes(self) -> dict[str, float]: ...

    def newborn(self, lm: LM, maps: Mapping[str, tuple[int, int]], sizes: Mapping[str, float], /) -> nn.Module: ...


@dataclass(frozen=True, eq=False)
class Made:
    """A trained editor, the maps it changes, and what an edit's record says of it."""

    net: nn.Module
    maps: Mapping[str, tuple[int, int]]
    mark: str


def ready(how: Learned, lm: LM, request: Request, *, together: int = 1) -> Made:
    """The editor that a method names; without one it is trained on the request itself, so many facts at once."""
    if how.editor:
        return opened(how, lm)
    practice = how.practice.within(SPOT)
    practice = replace(practice, together=max(practice.together, min(together, practice.batch)))
    return trained(how, lm, of_request(lm, request), practice)[0]


def opened(how: Learned, lm: LM) -> Made:
    """The editor in the folder that a method names."""
    kind, digest = kind_in(Path(how.editor), name_of(how), lm)
    with seeded(draw("editor"), lm.device):  # what a newborn draws is put aside, and so is the libraries' own state
        net = how.newborn(lm, kind.maps, kind.sizes).to(lm.device)
    fill(Path(how.editor), digest, net)
    return Made(net, kind.maps, f"editor {digest[:16]}")


def trained(
    how: Learned, lm: LM, lessons: Sequence[Lesson], practice: Practice, say: Callable[[str], None] | None = None
) -> tuple[Made, tuple[Losses, ...]]:  # fmt: skip
    """A newborn editor after its practice, and what each step of it cost."""
    maps = mlp_maps(lm, how.blocks)
    with seeded(draw("editor", practice.seed), lm.device):
        net = how.newborn(lm, maps, how.sizes).to(lm.device)
    losses = practise(lm, net, list(maps), lessons, practice, about=f"{name_of(how)} {how.sizes}", say=say)
    return Made(net, maps, f"{how.sizes}, {practice}, {len(lessons)} lessons"), losses


def edited(lm: LM, made: Made, facts: Sequence[Fact]) -> dict[str, AddOuter]:
    """What an editor makes of some facts together, as patches."""
    rows = [row(lm, question(f), f.target_new) for f in facts]
    found = gradients(lm, rows, list(made.maps))
    with torch.no_grad():
        change: Change = made.net(found, embedded(lm, [told(f) for f in facts]))
    return patches(lm, change)


def keep(folder: Path, how: Learned, lm: LM, made: Made, notes: Mapping[str, object]) -> None:
    """Save an editor for later use."""
    save(folder, Kind(name_of(how), lm.digest(), made.maps, how.sizes), made.net, notes)
