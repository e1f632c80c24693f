"""Stages as nodes of an incremental build: equal inputs, equal name; what has that name already is not trained again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from unteach.methods.exact.shards.shardplan import ShardPlan, digest_of
from unteach.methods.exact.shards.stage import Tensors, Trainer
from unteach.schema import Record


@dataclass(frozen=True)
class Node:
    """One stage of a shard, and what its name says: everything that it is made of.

    `root` is the Merkle root of the commitments of the records that feed it, `trained` counts records of its steps.
    """

    id: str
    shard: int
    stage: int
    root: str
    parent: str
    trained: int


class Kept(Protocol):
    """Where artefacts lie, by the name of their node; None where there is none, or it is damaged."""

    def get(self, node: str, /) -> Tensors | None: ...


@dataclass(frozen=True, eq=False)
class InMemory:
    """Artefacts in a mapping; the mapping may be shared, since an artefact is never changed."""

    found: dict[str, Tensors]

    def get(self, node: str, /) -> Tensors | None:
        return self.found.get(node)


Build = Mapping[int, tuple[Node, ...]]  # the stages of each shard


def laid_out(plan: ShardPlan, made_of: str, records: Iterable[Record]) -> Build:
    """Every node of a clean build of these records, without training one; `made_of` names trainer and machine."""
    parts = parted(plan, records)
    return {shard: tuple(_chain(plan, made_of, shard, parts.get(shard, ()))) for shard in range(plan.shards)}


def parted(plan: ShardPlan, records: Iterable[Record]) -> dict[int, tuple[Record, ...]]:
    """The records of each shard that has any, by id."""
    parts: dict[int, list[Record]] = {}
    for record in records:
        parts.setdefault(plan.place(record).shard, []).append(record)
    return {shard: tuple(sorted(rows, key=lambda r: r.id)) for shard, rows in parts.items()}


def feeding(plan: ShardPlan, records: Sequence[Record], stage: int) -> tuple[Record, ...]:
    """The records of a shard that a stage is trained on."""
    return tuple(r for r in records if plan.place(r).slice <= stage)


def _chain(plan: ShardPlan, made_of: str, shard: int, records: Sequence[Record]) -> Iterable[Node]:
    parent = ""
    for stage in range(plan.slices):
        fed = feeding(plan, records, stage)
        root = merkle([digest_of(r, plan.key) for r in fed])
        parent_of, parent = parent, named("stage", made_of, shard, stage, root, parent)
        yield Node(parent, shard, stage, root, parent_of, plan.epochs * len(fed))


def named(*parts: object) -> str:
    """The name of a node, from all that it is made of."""
    return sha256("\x1f".join(map(str, parts)).encode()).hexdigest()


def merkle(leaves: Iterable[str]) -> str:
    """The root of a binary tree of SHA-256 over the sorted leaves; leaves and inner nodes are told apart."""
    level = [sha256(b"\0" + leaf.encode()).digest() for leaf in sorted(leaves)]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        level = [*(sha256(b"\1" + a + b).digest() for a, b in pairs), *odd]
    return level[0].hex() if level else sha256(b"").hexdigest()


def missing(build: Build, kept: Kept) -> list[Node]:
    """What has to be trained: of each shard everything behind the last stage that is there."""
    found: list[Node] = []
    for chain in build.values():
        last = max((n.stage for n in chain if kept.get(n.id) is not None), default=-1)
        found += chain[last + 1 :]
    return found


def grown(
    chain: Iterable[Node], parent: Tensors | None, plan: ShardPlan, trainer: Trainer, records: Sequence[Record]
) -> Iterator[tuple[Node, Tensors]]:
    """Train stages of a shard that follow one another, the first from `parent`; `records` are those of the shard."""
    for node in chain:
        parent = trainer.train(parent, plan.steps(node.shard, node.stage, feeding(plan, records, node.stage)))
        yield node, parent


def complete(build: Build, plan: ShardPlan, trainer: Trainer, records: Iterable[Record], kept: InMemory) -> list[Node]:
    """Train what is missing, and say what that was."""
    parts, todo = parted(plan, records), missing(build, kept)
    for shard, chain in build.items():
        mine = [n for n in chain if n in todo]
        parent = kept.get(mine[0].parent) if mine and mine[0].parent else None
        for node, tensors in grown(mine, parent, plan, trainer, parts.get(shard, ())):
            kept.found[node.id] = tensors
    return todo
