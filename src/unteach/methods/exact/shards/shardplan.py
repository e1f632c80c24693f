"""The plan that survives deletions: where each record goes, and when it is trained on, follows from itself alone.

With n the length of the data nowhere in it, plan(D without F) = plan(D) without F, so that an incremental build and a
clean one are the same computation. Sharding and slicing: Bourtoule et al. 2021, arXiv:1912.03817.
"""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil

from unteach.schema import InputError, Record

HIGHEST = 9  # class of risk


@dataclass(frozen=True)
class Place:
    """Where a record lies: its shard, and the slice of it, both from 0."""

    shard: int
    slice: int


@dataclass(frozen=True)
class Step:
    """One step of a stage: its number in the whole plan, the seed of its randomness, and its records by id."""

    number: int
    seed: int
    records: tuple[Record, ...]


@dataclass(frozen=True)
class ShardPlan:
    """How data is parted, and how many steps each stage takes.

    `shards` are independent; stage i of a shard goes on from stage i - 1 with the records of its first i + 1 `slices`,
    for `epochs` passes. A slice of a shard is planned for `rows` records and a step for `batch` of them: constants, of
    which steps are counted, while a step has as many records as fall into it. `risks` classes of risk have slices of
    their own, the riskiest the last: what is likely to go was trained on in few stages. `key` decides every draw; whoever
    does not have it cannot tell where a record lies.
    """

    shards: int = 4
    slices: int = 4
    risks: int = 1
    epochs: int = 2
    batch: int = 16
    rows: int = 64
    key: str = "unteach"

    def __post_init__(self) -> None:
        for name in ("shards", "slices", "risks", "epochs", "batch", "rows"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} of a plan must be at least 1")
        if self.risks > min(self.slices, HIGHEST + 1):
            raise InputError(f"{self.risks} classes of risk need as many slices, and there are at most {HIGHEST + 1}")

    def place(self, record: Record) -> Place:
        """The shard follows from the subject, and the slice from subject and risk; a record without one is its own."""
        owner = record.subject or record.id
        risk = min(record.risk, self.risks - 1)
        first, end = (k * self.slices // self.risks for k in (risk, risk + 1))
        return Place(self._draw("shard", owner) % self.shards, first + self._draw("slice", owner) % (end - first))

    def steps(self, shard: int, stage: int, records: Sequence[Record]) -> Iterator[Step]:
        """The steps of a stage that have records; one without is left out, and changes no number of another."""
        count, before = self.steps_in(stage), sum(map(self.steps_in, range(stage))) * self.epochs
        for epoch in range(self.epochs):
            parts: dict[int, list[Record]] = {}
            for record in records:
                parts.setdefault(self._draw("step", stage, epoch, record.id) % count, []).append(record)
            for at in sorted(parts):
                rows = tuple(sorted(parts[at], key=lambda r: r.id))
                yield Step(before + epoch * count + at, self._draw("seed", shard, stage, epoch, at), rows)

    def steps_in(self, stage: int) -> int:
        """Steps of one pass in a stage."""
        return ceil((stage + 1) * self.rows / self.batch)

    @property
    def total(self) -> int:
        """Steps of a shard, over all of its stages."""
        return sum(map(self.steps_in, range(self.slices))) * self.epochs

    def init(self, purpose: str) -> int:
        """The seed of what all shards begin with."""
        return self._draw("init", purpose)

    def _draw(self, *parts: object) -> int:
        said = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
        return int.from_bytes(hmac.new(self.key.encode(), said, sha256).digest()[:8], "big") >> 1


def digest_of(record: Record, key: str) -> str:
    """A commitment to everything in a record that training may read, under a key that can be destroyed."""
    parts = [record.id, record.subject, str(record.risk), str(record.label), record.prompt, record.answer]
    parts += [f"{m.role}\x1d{m.content}" for m in record.messages]
    return hmac.new(key.encode(), "\x1e".join(parts).encode("utf-8", "surrogatepass"), sha256).hexdigest()
