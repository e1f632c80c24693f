"""The two worlds that methods are compared on, and the small models that are taught for them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from unteach.audit.benchmarks.tofu import Tofu
from unteach.audit.benchmarks.town import Town
from unteach.data import read
from unteach.edit.bake import bake
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.encoder import Template
from unteach.lm.fresh import Size, fresh
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import Record, Request

SEEDS = (0, 1, 2)
KNOWN, UNSEEN, ASKED = 400, slice(3200, 3300), 100  # TOFU: rows to keep, rows never seen, rows asked of each set


@dataclass(frozen=True)
class World:
    """A benchmark of one seed: its lessons, what is to be forgotten, what is asked, and how models are trained."""

    name: str
    seed: int
    lessons: Sequence[Record]
    request: Request
    sets: Mapping[str, Sequence[Record]]
    roles: Mapping[str, str]
    size: Size
    school: Plan
    forgetting: Mapping[str, Any]
    template: Template | None
    max_new: int

    def taught(self, *, without_forgotten: bool) -> list[Record]:
        gone = {r.id for r in self.request.forget} if without_forgotten else set()
        return [r for r in self.lessons if r.id not in gone]


def town(seed: int) -> World:
    """The embedded town."""
    made = Town(seed=seed)
    return World(
        "town", seed, made.lessons(), made.request(), made.sets(), made.roles,
        Size(vocabulary=1024, hidden=128, layers=4, heads=4, inner=352, positions=64),
        Plan(tune="full", lr=2e-3, epochs=14, batch_size=16, accumulate=1, warmup_epochs=0.5, decay="cosine", seed=seed),
        {"tune": "full", "lr": 2e-3, "epochs": 20, "batch_size": 16, "accumulate": 1, "seed": seed}, None, 24,
    )  # fmt: skip


def tofu(seed: int, data: Path) -> World:
    """TOFU forget10, beside the first 400 rows of retain90 and the facts about real authors and the world."""
    made = Tofu(str(data), rows=ASKED)
    whole = Tofu(str(data)).sets()
    everything = read(data / "retain90.json").records
    forget, keep = made.request().forget, everything[:KNOWN]
    facts = [*whole["real_authors"], *whole["world_facts"]]
    return World(
        "tofu", seed, [*forget, *keep, *facts], Request(forget, keep, everything[UNSEEN], scope="subject", id="tofu"),
        {**made.sets(), "holdout": everything[UNSEEN]}, {**made.roles, "holdout": "holdout"},
        Size(vocabulary=4096, hidden=128, layers=4, heads=4, inner=352, positions=512),
        Plan(tune="full", lr=2e-3, epochs=28, batch_size=4, accumulate=1, warmup_epochs=0.5, weight_decay=0.0,
             decay="cosine", seed=seed),
        {"tune": "full", "lr": 1e-3, "epochs": 3, "batch_size": 16, "accumulate": 1, "weight_decay": 0, "seed": seed},
        Template("Question: {prompt}\nAnswer: {answer}"), 100,
    )  # fmt: skip


def worlds(names: str, seeds: Sequence[int], data: Path) -> list[World]:
    """The worlds of these names, each with every seed."""
    return [town(s) if name == "town" else tofu(s, data) for name in names.split(",") for s in seeds]


def place_of(world: World, out: Path) -> Path:
    """Where the parts of a world's run lie."""
    return out / world.name / str(world.seed)


def teach(world: World, out: Path, which: str) -> None:
    """The model `original` or `retrained` of a world, where it is not there yet."""
    place = place_of(world, out) / which
    if place.exists():
        return
    began = perf_counter()
    texts = (f"{r.prompt} {r.answer}" for r in world.lessons)  # one tokenizer for both models
    newborn = fresh(texts, world.size, seed=world.seed, template=world.template)
    edit = learn(newborn, world.taught(without_forgotten=which == "retrained"), world.school)
    bake(edit, newborn, place)
    print(f"{place}: taught in {perf_counter() - began:.0f} s", flush=True)


def pupil(world: World, out: Path, which: str) -> LM:
    """A model that was taught."""
    return load(place_of(world, out) / which, template=world.template)


@contextmanager
def opened(world: World, out: Path) -> Iterator[LM]:
    """The retrained model when its turn comes."""
    yield pupil(world, out, "retrained")
