"""A request on its way: every state is reached in one transaction, and everything before it can be done twice.

received -> closed (duplicates and derived rows found) -> planned (its price) -> fenced (dead for every later build) -> swapped (a release
that never read the rows is served) -> verified (the clean build of what is left is there, whole) -> released (it is
served) -> shredded (what the rows fed is destroyed, and so are they) -> certified. A request that would leave nothing is refused. A killed process is followed by
another that goes on from the state it finds.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

from unteach.lm.fingerprint import digest, fingerprint
from unteach.lm.model import LM
from unteach.methods.exact.shards.nodes import Build, Node, laid_out, merkle, missing, named, parted
from unteach.methods.exact.shards.shardplan import digest_of
from unteach.methods.exact.shards.stage import LMTrainer
from unteach.schema import InputError, Record
from unteach.service.closing import close, gone
from unteach.service.cost import Cost, cost
from unteach.service.executors import Executor, Job, trained
from unteach.service.releases import point, release
from unteach.service.requests import State, Steps, notes_of, rids_of, walk
from unteach.service.shredding import shred
from unteach.service.store import Store, check_base, now

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Desk:
    """A store, the base that it is trained on, and who hears of progress."""

    store: Store
    lm: LM
    say: Say = field(default=lambda _: None)
    executor: Executor = "inline"
    workers: int = 1

    def __post_init__(self) -> None:
        check_base(self.store, self.lm)

    @property
    def trainer(self) -> LMTrainer:
        return LMTrainer(self.lm, self.store.plan, self.store.settings.school)

    @property
    def made_of(self) -> str:
        return named(self.trainer.digest(), digest(fingerprint(self.lm.device)))

    def build(self, records: Sequence[Record]) -> Build:
        """The clean build of some records, by name."""
        return laid_out(self.store.plan, self.made_of, records)

    def root(self, records: Sequence[Record]) -> str:
        """The Merkle root of the commitments of some records."""
        return merkle(digest_of(r, self.store.plan.key) for r in records)


def train(desk: Desk) -> Cost:
    """Train and release what the store holds; a training that was stopped goes on where it was."""
    records = desk.store.alive()
    build = desk.build(records)
    todo = missing(build, desk.store)
    price = cost(desk.store, build, todo)
    complete(desk, build)
    ends = _ends(desk, build, records)
    release(desk.store, desk.trainer, ends, "retrain-equal", desk.root(records), "training")
    return price


def advance(desk: Desk, request: str, *, until: State = "shredded") -> None:
    """Bring a request to a state, from whichever it is in."""
    steps: Steps = {
        "closed": partial(close, desk.store), "planned": partial(_plan, desk), "fenced": lambda _: {},
        "swapped": partial(_swap, desk), "verified": partial(_build, desk), "released": partial(_release, desk),
        "shredded": partial(_shred, desk),
    }  # fmt: skip
    point(desk.store)
    walk(desk.store, request, steps, until, desk.say)


def complete(desk: Desk, build: Build) -> None:
    """Train what is missing of a build of the store's living records into it, each shard by itself."""
    store, jobs = desk.store, []
    found = fingerprint(desk.lm.device)
    for shard in sorted({n.shard for n in missing(build, store)}):
        todo = missing({shard: build[shard]}, store)
        parent = store.blob_of(todo[0].parent) if todo[0].parent else ""
        jobs.append(Job(store.place, shard, found, parent, tuple(todo)))
    trained(store, desk.lm, jobs, desk.executor, desk.workers, desk.say)


def _plan(desk: Desk, request: str) -> Mapping[str, Any]:
    left = _left(desk, request)
    build = desk.build(left)
    price = cost(desk.store, build, missing(build, desk.store))
    before, _ = gone(desk.store, request)
    return {
        "records": price.records, "whole": price.whole, "stages": price.stages,
        "predicted": None if price.seconds is None else round(price.seconds, 3),
        "root": desk.root(before), "touched": (fed := _fed_by(desk, request)),
        "made": {n: desk.store.blob_of(n) for n in fed},
    }  # fmt: skip


def _left(desk: Desk, request: str) -> tuple[Record, ...]:
    gone = set(rids_of(desk.store, request))
    return tuple(r for r in desk.store.alive() if desk.store.rid(r.id) not in gone)


def _fed_by(desk: Desk, request: str) -> list[str]:
    """The stages that the rows fed, of every build that is in the store."""
    _, going = gone(desk.store, request)
    least: dict[int, int] = {}
    for place in map(desk.store.plan.place, going):
        least[place.shard] = min(place.slice, least.get(place.shard, place.slice))
    rows = desk.store.db.execute("SELECT id, shard, stage FROM nodes").fetchall()
    keep = {n.id for chain in desk.build(_left(desk, request)).values() for n in chain}
    return sorted(i for i, shard, stage in rows if stage >= least.get(shard, desk.store.plan.slices) and i not in keep)


def _swap(desk: Desk, request: str) -> Mapping[str, Any]:
    """Serve the merge of the newest stage of each shard that is also one of the clean build: nothing is trained."""
    records = desk.store.alive()
    build = desk.build(records)
    clean = [
        next((n for n in reversed(build[s]) if desk.store.get(n.id) is not None), None)
        for s in parted(desk.store.plan, records)
    ]
    ends = [n for n in clean if n is not None]
    level = (
        "retrain-equal"
        if len(ends) == len(_ends(desk, build, records)) and not missing(build, desk.store)
        else "influence-free"
    )
    blob = release(desk.store, desk.trainer, ends, level, desk.root(records), request)
    return {"swapped": now(), "served": blob}


def _ends(desk: Desk, build: Build, records: Sequence[Record]) -> list[Node]:
    return [build[s][-1] for s in sorted(parted(desk.store.plan, records))]


def _build(desk: Desk, request: str) -> Mapping[str, Any]:
    records = desk.store.alive()
    build = desk.build(records)
    began = perf_counter()
    complete(desk, build)
    for chain in build.values():
        for node in chain:
            if desk.store.get(node.id) is None:
                raise InputError(f"{desk.store.place}: a stage was damaged while it was made; give the command again")
    return {"trained": _trained_for(desk.store, request), "took": round(perf_counter() - began, 3)}


def _trained_for(store: Store, request: str) -> int:
    """Records of all steps since the request was fenced, by the ledger: whoever trained them may have been killed."""
    rows = store.db.execute(
        "SELECT body FROM events WHERE kind = 'trained' AND seq > "
        "(SELECT seq FROM events WHERE kind = 'fenced' AND object = ?)", (request,)
    )  # fmt: skip
    return sum(json.loads(body)["records"] for (body,) in rows)


def _release(desk: Desk, request: str) -> Mapping[str, Any]:
    records = desk.store.alive()
    build = desk.build(records)
    blob = release(desk.store, desk.trainer, _ends(desk, build, records), "retrain-equal", desk.root(records), request)
    return {"blob": blob, "root_after": desk.root(records)}


def _shred(desk: Desk, request: str) -> Mapping[str, Any]:
    """Destroy the stages that the rows fed, releases that were made of them, and the rows."""
    rids = set(rids_of(desk.store, request))
    fed = {
        *notes_of(desk.store, request)["touched"],
        *_fed_by(desk, request),
    }  # another rebuild may have read them since
    return shred(desk.store, rids, fed)
