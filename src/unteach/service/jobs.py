"""What `unteach train`, `delete` and `plan` do, as functions that return the lines they say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unteach.data.exclusion import manifest, read_manifest, write_manifest
from unteach.data.read import read
from unteach.edit.plan import Plan
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.exact.shards.nodes import missing
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.stage import Schooling
from unteach.schema import InputError, Record
from unteach.service import deletion, heads
from unteach.service.advice import children, ways
from unteach.service.auditing import auditable, audited
from unteach.service.certifying import certify
from unteach.service.closing import gone
from unteach.service.cost import Cost, cost
from unteach.service.deletion import Desk, advance
from unteach.service.executors import EXECUTORS, Executor
from unteach.service.lineage import POLICIES, closure, made_of, meant, policy
from unteach.service.requests import notes_of, open_requests, receive, rids_of, subject_ids
from unteach.service.store import Settings, Store, create, opened
from unteach.service.whatif import Stream, layouts, legend, table, year

STORE = "store.json"
NONE: Mapping[str, Any] = MappingProxyType({})
Say = Callable[[str], None]


@dataclass(frozen=True)
class Parts:
    """How data is parted; with `rows` 0 a slice is planned for as many records as there are now."""

    shards: int = 4
    slices: int = 4
    risks: int = 1
    epochs: int = 2
    batch: int = 16
    rows: int = 0

    def plan(self, records: int) -> ShardPlan:
        plan = ShardPlan(self.shards, self.slices, self.risks, self.epochs, self.batch, self.rows or 1)
        return plan if self.rows else replace(plan, rows=ceil(records / (self.shards * self.slices)))


@dataclass(frozen=True, repr=False)
class Asked:
    """Which records a command is about."""

    ids: tuple[str, ...] = ()
    subject: str = ""
    forget: str = ""
    policy: str = "exact"

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise InputError(f"there is no such policy; choose {', '.join(POLICIES)}")
        if sum(map(bool, (self.ids, self.subject, self.forget))) > 1:
            raise InputError("--ids, --subject and --forget say the same thing in three ways; give one of them")

    @property
    def nothing(self) -> bool:
        return not (self.ids or self.subject or self.forget)

    def of(self, store: Store) -> Sequence[str]:
        """The ids that are meant."""
        if self.subject:
            return subject_ids(store, self.subject)
        return [r.id for r in read(self.forget).records] if self.forget else self.ids


@dataclass(frozen=True)
class Audit:
    """Where the report of an audit goes, and a file of rows that were never trained on."""

    out: Path
    holdout: str = ""

    def unseen(self) -> Sequence[Record]:
        return read(self.holdout).records if self.holdout else ()


def train(
    model: str, data: str, into: Path, parts: Parts, school: Schooling, *, weight: float = 1.0, device: str = "",
    executor: str = "inline", workers: int = 2, learner: str = "", options: Mapping[str, Any] = NONE,
    say: Say = lambda _: None,
) -> list[str]:  # fmt: skip
    """Make a store of a model and records, and train it; a store whose training was stopped goes on.

    With a `learner` the model stays as it is, and a head on its features is learned from labelled records.
    """
    how, state = _executor(executor, workers), None
    if learner:
        heads.learns_heads(learner, options)
    lm = load(model, device=device)
    if not (into / STORE).is_file():
        records = read(data).records
        state = heads.learned(learner, options, lm, records) if learner else None  # first: a refusal leaves no store
        plan = parts.plan(len(records))
        settings = Settings(_whole(model), lm.digest(), plan, school, weight, device, learner, dict(options))
        create(into, settings, records).close()
    with opened(into) as store:
        if store.settings.learner:
            heads.fit(store, lm, state)
            return [f"{len(store.alive())} records; a head by {store.settings.learner}", f"release: {store.current()}"]
        desk = Desk(store, lm, say, how, workers)
        price = deletion.train(desk)
        records_in = len(store.alive())
        return [
            f"{records_in} records in {store.plan.shards} shards of {store.plan.slices} slices; "
            f"{price.stages} stages trained, {price.records} records of their steps",
            f"release: {store.current()}",
        ]


def delete(
    place: Path, asked: Asked, *, at_once: bool = False, base: str = "", device: str = "",
    executor: str = "inline", workers: int = 2, checkpoints: Path | None = None, exclusion: Path | None = None,
    audit: Audit | None = None, say: Say = lambda _: None,
) -> list[str]:  # fmt: skip
    """Take in a request, unless nothing is asked for, and bring all open ones to their end.

    With `exclusion` the rows go onto a list that `unteach check` keeps them out by, before they are destroyed; with
    `audit` what the release knows of them is measured first.
    """
    how = _executor(executor, workers)
    with opened(place) as store:
        head = bool(store.settings.learner)
        if head and (audit is not None or at_once):
            raise InputError("a head goes at once and has nothing to say in words; leave --audit and --at-once out")
        desk = None if head else Desk(store, _base(store, base, device), say, how, workers)
        if not asked.nothing:
            receive(store, asked.of(store), policy(asked.policy))
        requests = open_requests(store)
        if not requests:
            raise InputError("nothing is asked for and no request is open; give --ids, --subject or --forget")
        if desk is None:
            return [line for r in requests for line in _taken_out(store, r, checkpoints, exclusion, say)]
        return [line for r in requests for line in _brought(desk, r, at_once, checkpoints, exclusion, audit)]


def _taken_out(
    store: Store, request: str, checkpoints: Path | None, exclusion: Path | None, say: Say
) -> Iterator[str]:  # fmt: skip
    """The same for a store of a head."""
    heads.advance(store, request, until="planned", say=say)
    yield from _listed(store, request, exclusion)
    heads.advance(store, request, say=say)
    promise, notes = heads.promised(store, request), notes_of(store, request)
    yield f"served: {store.current()} ({promise.kind}{', ' + promise.level if promise.level else ''})"
    yield f"destroyed: {len(notes['destroyed'])} artefacts, {notes['keys']} keys of subjects"
    yield f"certificate: {heads.certify(store, request, checkpoints)}"


def _listed(store: Store, request: str, exclusion: Path | None) -> Iterator[str]:
    """Put the rows of a request onto a list, and say which they are."""
    if exclusion is not None:
        listed = read_manifest(exclusion) if exclusion.exists() else manifest()
        write_manifest(listed.plus(gone(store, request)[1]), exclusion)
        yield f"kept out from now on by: {exclusion}"
    notes, count = notes_of(store, request), len(rids_of(store, request))
    yield f"request {request}: {count} records, {notes['duplicates']} of them as duplicates, {notes['derived']} as derived"


def _brought(
    desk: Desk, request: str, at_once: bool, checkpoints: Path | None, exclusion: Path | None, audit: Audit | None
) -> Iterator[str]:
    if audit is not None:
        auditable(desk.store, request)
    advance(desk, request, until="planned")
    yield from _listed(desk.store, request, exclusion)
    notes = notes_of(desk.store, request)
    yield f"price: {_priced(Cost(notes['stages'], notes['records'], notes['whole'], notes['predicted']))}"
    advance(desk, request, until="swapped")
    yield f"served: {desk.store.current()}, which never read them (exact, influence-free)"
    if at_once:
        yield "the rebuild is open; give `unteach delete` again, without ids, to go on"
        return
    advance(desk, request, until="released")
    if audit is not None:
        yield f"audited before the rows go: {audited(desk, request, audit.out, audit.unseen())}"
    advance(desk, request)
    notes = notes_of(desk.store, request)
    yield f"rebuilt: {notes['trained']} records of steps in {notes['took']:.1f} s"
    yield f"served: {desk.store.current()}, which equals training without them (exact, retrain-equal)"
    yield f"destroyed: {len(notes['destroyed'])} artefacts, {notes['keys']} keys of subjects"
    yield f"certificate: {certify(desk, request, checkpoints)}"


def plan(place: str, asked: Asked, *, retain: str = "", base: str = "", device: str = "") -> list[str]:
    """The price of a deletion from a store, or the ways there are for a model; nothing is changed."""
    if (Path(place) / STORE).is_file():
        return _planned(Path(place), asked, base, device)
    if not asked.forget:
        raise InputError(f"{place}: not a store, so it is taken for a model; give --forget FILE with the rows")
    lm = load(place, base=base or None, device=device)
    kept = read(retain).records if retain else ()
    found = [str(way) for way in ways(lm, Path(place), read(asked.forget).records, kept, Plan())]
    left = [f"left behind: {child}" for child in children(Path(place))]
    return [*found, *(left or ["left behind: nothing was found beside it; look for copies elsewhere"])]


def imagined(place: str, shapes: str, stream: Stream, *, risks: int = 1, epochs: int = 2) -> list[str]:
    """What a year of deletions would take under other layouts, of the records in a store or a file; nothing is trained."""
    if (Path(place) / STORE).is_file():
        with opened(Path(place)) as store:
            records, plan = store.alive(), store.plan
    else:
        records, plan = read(place).records, ShardPlan(risks=risks, slices=risks, epochs=epochs)
    years = [year(records, each, stream) for each in layouts(shapes, plan, len(records))]
    return [*table(years), "", *legend(stream)]


def _planned(place: Path, asked: Asked, base: str, device: str) -> list[str]:
    with opened(place) as store:
        records = store.alive()
        if asked.nothing:
            return [_stands(store, records)]
        desk = None if store.settings.learner else Desk(store, _base(store, base, device))
        named = meant(records, asked.of(store))
        twins = closure(records, named, policy(asked.policy))
        going = {r.id for r in (*named, *twins)}
        derived = sum(made_of(r, going) for r in twins)
        first = f"{len(named)} records, {len(twins) - derived} duplicates and {derived} derived rows of {len(records)}"
        if desk is None:
            return [first, f"taken out of the head by {store.settings.learner}; the base is not opened"]
        left = [r for r in records if r.id not in going]
        return [first, *_priced_for(desk, left)]


def _priced_for(desk: Desk, left: Sequence[Record]) -> list[str]:
    """What it takes to come to a store of these records alone."""
    build = desk.build(left)
    price = cost(desk.store, build, missing(build, desk.store))
    clean = sum(desk.store.get(n.id) is not None for chain in build.values() for n in chain)
    return [
        f"at once: a merge of stages that never read them ({clean} stages are clean), no training",
        f"shard rebuild: {_priced(price)}; exact, retrain-equal",
        f"retraining all shards: {price.whole} records of steps",
        "approximate methods (`unteach forget`): empirical at best, to be audited; not needed where this is exact",
        "left behind: copies of earlier releases outside this store, merged or quantised ones among them",
    ]


def _stands(store: Store, records: Sequence[Record]) -> str:
    waiting, plan = len(open_requests(store)), store.plan
    parts = f"in {plan.shards} shards of {plan.slices} slices"
    if store.settings.learner:
        parts = f"in a head by {store.settings.learner}"
    return f"{len(records)} records {parts}; {waiting} open requests"


def _priced(price: Cost) -> str:
    share = price.whole / price.records if price.records else 0.0
    less = f", {share:.1f} times fewer than retraining" if price.records else ""
    took = "unknown time" if price.seconds is None else f"about {price.seconds:.1f} s"
    return f"{price.stages} stages, {price.records} records of steps{less}, {took}"


def _executor(name: str, workers: int) -> Executor:
    if workers < 1:
        raise InputError("--workers must be at least 1")
    found = next((e for e in EXECUTORS if e == name), None)
    if found is None:
        raise InputError(f"there is no such executor; choose {', '.join(EXECUTORS)}")
    return found


def _base(store: Store, base: str, device: str) -> LM:
    settings = replace(store.settings, base=base or store.settings.base, device=device or store.settings.device)
    return load(settings.base, device=settings.device)


def _whole(model: str) -> str:
    return str(Path(model).resolve()) if Path(model).exists() else model
