"""What training watches: how well a fixed sample of the forget and retain rows is still known."""

from collections.abc import Sequence

import numpy as np

from unteach.edit.plan import draw
from unteach.edit.rows import Task
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match, probability
from unteach.schema import Record, Request

SHARE, FEWEST, MOST = 0.08, 8, 64  # of each set, so that measuring stays under a twentieth of the time


class Gauge:
    """Mean probability and greedy token accuracy on the same few rows every time."""

    def __init__(self, lm: LM, task: Task | Request) -> None:
        self.lm = lm
        self.samples = {"forget": _sample(task.forget), "retain": _sample(task.retain)}

    @property
    def wanted(self) -> bool:
        return bool(self.samples["forget"])

    def read(self) -> dict[str, float]:
        """`{set}_probability` and `{set}_exact` for the sets that have rows."""
        found: dict[str, float] = {}
        for name, records in self.samples.items():
            if records:
                answers = ask(self.lm, records)
                found[f"{name}_probability"] = float(np.mean([probability(a) or 0.0 for a in answers]))
                found[f"{name}_exact"] = float(np.mean([exact_match(a) or 0.0 for a in answers]))
        return found


def _sample(records: Sequence[Record]) -> list[Record]:
    count = min(max(FEWEST, round(SHARE * len(records))), MOST)
    return sorted(records, key=lambda r: draw("gauge", r.id))[:count]
