"""A model that says what a test tells it to, so that metrics can be checked against numbers known beforehand."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from math import log
from typing import Any

import numpy as np
import pytest

from unteach.audit.evidence import Evidence
from unteach.measure.answers import Answer
from unteach.schema import Record


def answer(*probabilities: float, hit: Sequence[bool] = (), ended: bool = False) -> Answer:
    """An answer whose tokens have these probabilities; by default what is likelier than 1/2 is a hit."""
    logps = np.array([-np.inf if p == 0 else log(p) for p in probabilities], float)
    found = np.array(hit if len(hit) else [p > 0.5 for p in probabilities], bool)
    return Answer(logps, found, np.zeros_like(logps), np.ones_like(logps), ended)


class Watcher:
    """A guard of which only `observable` matters."""

    def __init__(self, observable: bool) -> None:
        self.observable = observable

    def session(self) -> Any:
        return None


class ToldLM:
    """Stands in for a model: `says` gives the answer to a teacher-forced row, `writes` the free one."""

    def __init__(self, says: Callable[[Record], Answer], writes: Callable[[Record], str] = lambda r: r.answer) -> None:
        self.says, self.writes = says, writes
        self.guards: list[Watcher] = []
        self.rows: list[list[Record]] = []
        self.prompts: list[list[Record]] = []
        self.weights = "as they were"

    @property
    def held(self) -> "ToldLM":
        return self

    @property
    def observable(self) -> bool:
        return all(guard.observable for guard in self.guards)

    def digest(self) -> str:
        return self.weights

    def generate(self, prompts: Sequence[Record], max_new: int, **_options: Any) -> list[str]:
        assert max_new > 0
        self.prompts.append(list(prompts))
        return [self.writes(p) for p in prompts]


def ask(lm: ToldLM, records: Sequence[Record], **_options: bool) -> list[Answer]:
    lm.rows.append(list(records))
    return [lm.says(r) for r in records]


@contextmanager
def telling() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unteach.audit.evidence.ask", ask)
        yield


def evidence(
    says: Callable[[Record], Answer] = lambda _: answer(0.5),
    writes: Callable[[Record], str] = lambda r: r.answer,
    *, name: str = "told", retrained: Evidence | None = None, guards: Sequence[Watcher] = (), **sets: list[Record],
) -> Evidence:  # fmt: skip
    lm = ToldLM(says, writes)
    lm.guards = list(guards)
    return Evidence(lm, sets, name=name, retrained=retrained)


def record(i: int, **more: Any) -> Record:
    return Record(f"r{i}", f"question {i}", f"answer number {i}", **more)
