"""What a deletion will take: records counted in the plan, seconds by the speed of what was trained before."""

from collections.abc import Sequence
from dataclasses import dataclass

from unteach.methods.exact.shards.nodes import Build, Node
from unteach.service.store import Store

MEMORY = 0.3  # of the exponentially weighted mean: the newest stage counts most


@dataclass(frozen=True)
class Cost:
    """Stages to train, records of their steps, and seconds by the pace so far; None where nothing was trained yet.

    `whole` counts the records of a clean build, so that `records / whole` is the share of a retraining.
    """

    stages: int
    records: int
    whole: int
    seconds: float | None


def cost(store: Store, build: Build, todo: Sequence[Node]) -> Cost:
    """The price of training these nodes of a build."""
    records = sum(n.trained for n in todo)
    whole = sum(n.trained for chain in build.values() for n in chain)
    pace = pace_of(store)
    return Cost(len(todo), records, whole, None if pace is None else pace * records)


def pace_of(store: Store) -> float | None:
    """Seconds a record: the weighted mean over the stages trained so far, the newest last."""
    found: float | None = None
    rows = store.db.execute("SELECT seconds, trained FROM nodes WHERE trained > 0 AND seconds > 0 ORDER BY rowid")
    for seconds, trained in rows:
        each = seconds / trained
        found = each if found is None else (1 - MEMORY) * found + MEMORY * each
    return found
