"""Deletions that wait for one another, and are then served by one build."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import time
from typing import ClassVar

from unteach.edit.edit import Edit
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.shards.mergeshards import MergeShards
from unteach.methods.exact.shards.retrain import WHOLE
from unteach.methods.exact.shards.sharded import Corpus, Sharded
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.stage import Schooling
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError

DAY = 86400.0  # seconds


@dataclass(frozen=True, eq=False)
class Waiting:
    """The last build, which still knows the rows that wait; their ids, and when the oldest was asked for."""

    built: Sharded
    ids: tuple[str, ...] = field(default=(), repr=False)
    since: float | None = None


@learner("periodicretrain", tested_by="test_requests_wait_for_one_another_and_are_served_by_one_build")
@dataclass(frozen=True)
class PeriodicRetrain:
    """Collects deletions until `every` rows wait, or the oldest has waited `days`, and then builds once without them.

    A build for k requests costs less than k builds: with S shards, k uniform requests touch S (1 - (1 - 1/S)^k) of
    them, and with one shard, the default, all k cost one training (Bourtoule et al. 2021, arXiv:1912.03817). After it
    the artefact is that of a clean build, bit for bit. Until then the rows are in what is released, and the guarantee
    is `none`, with how many wait.

    Nothing happens by itself: whoever runs it asks `due` from time to time, and calls `serve`. A deletion that makes
    the requests due serves them.

    Example: ``PeriodicRetrain(every=100, days=7).fit(Corpus(lm, records))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    plan: ShardPlan = WHOLE
    school: Schooling = field(default_factory=Schooling)
    every: int = 16
    days: float = 30.0

    def __post_init__(self) -> None:
        if self.every < 1 or not self.days >= 0:
            raise InputError("periodicretrain wants 'every' from 1 on, and 'days' not below 0")

    @property
    def shards(self) -> MergeShards:
        return MergeShards(self.plan, self.school)

    def fit(self, data: Corpus, /) -> Waiting:
        return Waiting(self.shards.fit(data))

    def delete(self, state: Waiting, ids: Sequence[str], /) -> tuple[Waiting, Guarantee]:
        """Let the rows wait, and serve all that wait if it is time."""
        if not ids:
            raise InputError("a deletion names a row or more; to build now, call serve")
        waiting = (*state.ids, *ids)
        state.built.corpus.without(waiting)  # what cannot be deleted is refused now, not when it is served
        after = replace(state, ids=waiting, since=state.since or time())
        return self.serve(after) if self.due(after) else (after, _owed(after))

    def due(self, state: Waiting) -> bool:
        """Whether enough rows wait, or one for long enough."""
        late = state.since is not None and time() - state.since >= self.days * DAY
        return late or len(state.ids) >= self.every

    def serve(self, state: Waiting) -> tuple[Waiting, Guarantee]:
        """Build without all that waits, due or not."""
        if not state.ids:
            return state, retrain_equal("the model", {"trained": 0})
        built, guarantee = self.shards.delete(state.built, state.ids)
        return Waiting(built), guarantee

    def release(self, state: Waiting, /) -> Edit:
        """The last build; while rows wait, it says so."""
        guarantee = _owed(state) if state.ids else retrain_equal("the model")
        return replace(self.shards.release(state.built), made_by="periodicretrain", guarantee=guarantee)


def _owed(state: Waiting) -> Guarantee:
    n = len(state.ids)
    claim = f"Rows that were to go are still in the model: {n} of them, until the next build."
    return Guarantee("none", "waiting", claim, {"waiting": n})
