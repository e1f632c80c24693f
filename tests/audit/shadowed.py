"""Told models that were trained with some of the rows or with none, and rows that no model saw."""

from collections.abc import Callable, Sequence
from math import exp

import numpy as np
from told import ToldLM, answer, record

import worlds
from unteach.audit.evidence import Evidence
from unteach.audit.shadows import Shadow, World, ask_shadow
from unteach.measure.answers import Answer
from unteach.registry import build
from unteach.schema import Record, Score

ROWS = 40
SETS = {
    "forget": [record(i) for i in range(ROWS)],
    "retain": [record(200 + i) for i in range(3)],
    "holdout": [record(100 + i) for i in range(ROWS)],
}
UNSEEN = tuple(
    Record(f"new-{i}", r.prompt.replace("known for", "like"), f"{a} {b}.")
    for i, (r, a, b) in enumerate(
        zip(
            worlds.RECORDS[:5],
            ("Paper stars", "A hill", "Old songs", "Sand", "Tall grass"),
            ("on a roof", "of cats", "at noon", "in a jar", "by the sea"),
            strict=True,
        )
    )
)


def says(phi: Callable[[Record], float]) -> Callable[[Record], Answer]:
    """A model whose answers have this phi; the one token is a hit where phi is positive."""
    return lambda r: answer(1 / (1 + exp(-phi(r))), hit=[phi(r) > 0])


def shadow(phi: Callable[[Record], float], members: Sequence[str], world: World) -> Shadow:
    return ask_shadow(ToldLM(says(phi)), SETS, members, world)  # type: ignore[arg-type]


def evidence(phi: Callable[[Record], float], shadows: Sequence[Shadow], **sets: list[Record]) -> Evidence:
    return Evidence(ToldLM(says(phi)), sets or SETS, name="told", shadows=shadows)  # type: ignore[arg-type]


def score(name: str, found: Evidence, **options: object) -> Score:
    return build("metric", name, options)(found, "forget")


class Town:
    """Rows of very different difficulty, each of which gains or loses phi by being trained with; models differ by 1."""

    def __init__(self, seed: int, gap: float = 3.0, *, alike: bool = False) -> None:
        self.draw = np.random.default_rng(seed)
        rows = [r.id for s in SETS.values() for r in s]
        self.ids = rows
        self.hard = dict(zip(rows, self.draw.normal(0, 4, len(rows)), strict=True))
        signs = 1.0 if alike else self.draw.choice([-1.0, 1.0], len(rows))
        self.gain = dict(zip(rows, np.broadcast_to(gap * signs, len(rows)), strict=True))

    def model(self, trace: Callable[[str], float]) -> Callable[[Record], float]:
        noise = dict(zip(self.ids, self.draw.normal(size=len(self.ids)), strict=True))
        return lambda r: self.hard[r.id] + trace(r.id) * self.gain[r.id] + noise[r.id]

    def halves(self, k: int, world: World = "in") -> list[Shadow]:
        """Models trained with each row by a coin of its own."""
        found = []
        for _ in range(k):
            members = frozenset(i for i in self.ids if self.draw.random() < 0.5)
            found.append(shadow(self.model(lambda i, m=members: float(i in m)), members, world))
        return found

    def sides(self, k: int, trace: float) -> list[Shadow]:
        """k models trained with all rows to forget, of which so much of a trace is left, and k that never saw them."""
        forget = [r.id for r in SETS["forget"]]
        left = [shadow(self.model(lambda i: trace * (i in forget)), forget, "unlearned") for _ in range(k)]
        return [*left, *(shadow(self.model(lambda _: 0.0), [], "out") for _ in range(k))]


def forgotten(town: Town, trace: float) -> Callable[[Record], float]:
    return town.model(lambda i: trace * (int(i[1:]) < 100))
