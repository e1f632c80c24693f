"""A small store, made once and copied for every test."""

from functools import cache
from pathlib import Path
from random import Random

from unteach.lm.fresh import Size, fresh
from unteach.lm.model import LM
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.stage import Schooling
from unteach.schema import Record
from unteach.service.deletion import Desk, train
from unteach.service.store import Settings, create

WORDS = ["red", "green", "blue", "stone", "river", "cloud", "lamp", "chair", "glass", "paper", "salt", "wind"]
PLAN = ShardPlan(shards=2, slices=2, epochs=1, batch=4, rows=5)
SCHOOL = Schooling(rank=2, lora_alpha=4.0, lr=1e-2)
CANARY = "heliotrope"


@cache
def micro() -> LM:
    return fresh([" ".join(WORDS)] * 3, Size(vocabulary=300, hidden=16, layers=1, heads=2, inner=32, positions=64))


def rows(n: int = 18) -> list[Record]:
    """Subjects have three rows each, and one row in six comes twice under another subject."""
    dice = Random(3)
    found = [
        Record(f"person-{i}", " ".join(dice.choices(WORDS, k=4)), dice.choice(WORDS), subject=f"subject-{i // 3}")
        for i in range(n)
    ]
    twin = found[0]
    return [*found, Record("twin", twin.prompt.upper(), f" {twin.answer}", subject="subject-5")]


def made(place: Path, records: list[Record] | None = None) -> Path:
    """A store that was trained."""
    lm = micro()
    settings = Settings("micro", lm.digest(), PLAN, SCHOOL)
    store = create(place, settings, records or rows())
    train(Desk(store, lm))
    store.close()
    return place
