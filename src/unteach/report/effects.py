"""What causal tracing found: a table of effects, and what it is written as."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from io import StringIO


@dataclass(frozen=True)
class Mean:
    """A mean over `n` facts with its 95 % bootstrap interval; fewer than two have none."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Effect:
    """The mean indirect effect of what is restored at a token and a layer, and its interval over `n` facts."""

    restored: str
    token: str
    layer: int
    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Effects:
    """The effects over facts that a model knows; `unknown` is how many more it did not know.

    `before` and `disturbed` are the probabilities of the answers without and with the noise, `total` their difference.
    """

    model: str
    layers: int
    unknown: int
    samples: int
    noise: float
    window: int
    seed: int
    before: Mean
    disturbed: Mean
    total: Mean
    effects: tuple[Effect, ...]

    def greatest(self, restored: str) -> Effect:
        """The place of a subject's tokens where most comes back."""
        some = [e for e in self.effects if e.restored == restored and "subject" in e.token]
        return max(some, key=lambda e: e.value)


def effects_json(found: Effects) -> str:
    """Everything, as JSON text."""
    return json.dumps({"format": 1} | asdict(found), indent=1, allow_nan=False) + "\n"


def effects_csv(rows: Sequence[Effect]) -> str:
    """One line an effect."""
    held = StringIO()
    writer = csv.writer(held, lineterminator="\r\n")
    writer.writerow([f.name for f in fields(Effect)])
    writer.writerows(astuple(row) for row in rows)
    return held.getvalue()
