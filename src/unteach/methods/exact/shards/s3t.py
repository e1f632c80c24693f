"""Slices that train layers of their own, so that a deletion switches layers off and trains nothing."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from unteach.edit.edit import Edit
from unteach.edit.patches import Patch
from unteach.edit.plan import LORA, Plan
from unteach.edit.trainable import trainable
from unteach.lm.model import LM
from unteach.methods.exact.guarantees import influence_free
from unteach.methods.exact.shards.descent import Pull, descend, pull
from unteach.methods.exact.shards.ensemble import Ensemble
from unteach.methods.exact.shards.nodes import parted
from unteach.methods.exact.shards.sharded import Corpus
from unteach.methods.exact.shards.shardplan import ShardPlan, Step
from unteach.methods.exact.shards.stage import Schooling
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError, Record

Group = Mapping[str, tuple[Patch, ...]]  # the adapter of some layers


@dataclass(frozen=True, eq=False)
class Lanes:
    """Of each shard, and each order of its slices, the groups of layers that no deleted record has fed."""

    corpus: Corpus
    groups: Mapping[tuple[int, int], tuple[Group, ...]] = field(repr=False)

    def longest(self) -> dict[int, tuple[Group, ...]]:
        """The lane of each shard that has the most groups, the first of equals; shards that have none are left out."""
        found: dict[int, tuple[Group, ...]] = {}
        for (shard, _), groups in sorted(self.groups.items()):
            if len(groups) > len(found.get(shard, ())):
                found[shard] = groups
        return found


@learner("s3t", tested_by="test_what_s3t_releases_never_read_the_deleted_rows")
@dataclass(frozen=True)
class S3T:
    """Slice i of a shard trains the adapter of the i-th group of layers alone, from the top, on the slices 1 to i.

    Groups above are worn and stay as they are. Deleting from slice j switches the groups from j on off, and nothing is
    trained: what is left was finished before the slice was read. Chowdhury et al. 2024, arXiv:2406.16257. Each shard is
    trained in `orders` orders of its slices, each the first one turned round, and the one with the longest clean
    beginning is served; its neighbours begin with other slices, so that one of them lives for long.

    With S shards of R slices and B orders, nothing is left when the first slice of every order of every shard has been
    asked to go. That takes S R H_{S B} uniform requests on average, H_n = 1 + 1/2 + ... + 1/n: for S = 5 and R = 6
    these are 68.5, 88, 108 and 120 for B = 1, 2, 4 and 6. The shards of SISA, of which no stage is kept, last S H_S =
    11.4.

    Training costs B times as much, and every lost group costs accuracy. What is served is free of the rows, but
    is not what training without them makes; when too little is left, fit again.

    Example: ``S3T(ShardPlan(shards=2, slices=4), orders=4).fit(Corpus(lm, records))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    plan: ShardPlan = field(default_factory=ShardPlan)
    school: Schooling = field(default_factory=Schooling)
    orders: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.orders <= self.plan.slices:
            raise InputError("s3t has at least 1 of its 'orders', and at most as many as the plan has slices")
        if self.school.tune != "lora":
            raise InputError("s3t switches adapters of layers off; choose tune lora")

    @property
    def turns(self) -> tuple[int, ...]:
        """By how many slices each order is turned."""
        return tuple(order * self.plan.slices // self.orders for order in range(self.orders))

    def fit(self, data: Corpus, /) -> Lanes:
        if data.lm.layers < self.plan.slices:
            raise InputError(f"a slice needs a layer of its own, and the model has {data.lm.layers}; plan fewer slices")
        parts = parted(self.plan, data.records)
        return Lanes(data, {(s, t): self._lane(data.lm, rows, t) for s, rows in parts.items() for t in self.turns})

    def delete(self, state: Lanes, ids: Sequence[str], /) -> tuple[Lanes, Guarantee]:
        """Switch off what the rows fed."""
        left, gone = state.corpus.without(ids), set(ids)
        places = [self.plan.place(r) for r in state.corpus.records if r.id in gone]
        cut = {
            (shard, turn): groups[: self.clean({p.slice for p in places if p.shard == shard}, turn)]
            for (shard, turn), groups in state.groups.items()
        }
        after = Lanes(left, cut)
        numbers = {"shards": len(after.longest()), "groups": sum(map(len, after.longest().values()))}
        return after, influence_free("every group of layers that is left", numbers)

    def release(self, state: Lanes, /) -> Ensemble:
        """The longest lane of each shard, asked together."""
        found, lm = state.longest(), state.corpus.lm
        if not found:
            raise InputError("no group of layers is left that the rows did not feed; fit again on what is left")
        claim = influence_free("the adapter of the shard")
        return Ensemble(lm, tuple(replace(_together(lm, g, f"s3t {s}"), guarantee=claim) for s, g in found.items()))

    def position(self, of: int, turn: int) -> int:
        """Where a slice comes in an order."""
        return (of + turn) % self.plan.slices

    def clean(self, hit: Collection[int], turn: int) -> int:
        """How many groups of an order come before all of these slices."""
        return min((self.position(s, turn) for s in hit), default=self.plan.slices)

    def _lane(self, lm: LM, rows: Sequence[Record], turn: int) -> tuple[Group, ...]:
        groups: list[Group] = []
        for stage in range(self.plan.slices):
            fed = [r for r in rows if self.position(self.plan.place(r).slice, turn) <= stage]
            groups.append(self._group(lm, stage, fed, groups))
        return tuple(groups)

    def _group(self, lm: LM, stage: int, fed: Sequence[Record], above: Sequence[Group]) -> Group:
        with _together(lm, above).on(lm), trainable(lm, self._adapter(lm.layers, stage)) as parts:
            learned = {n: p for n, p in parts.parameters.items() if n.endswith(".lora_B")}
            for name, parameter in parts.parameters.items():
                parameter.requires_grad_(name in learned)
            descend(learned, self._lessons(lm, self.plan.steps(0, stage, fed)), clip=self.school.clip)
            return parts.patches()

    def _adapter(self, layers: int, stage: int) -> Plan:
        """The adapter of a group of layers, the first at the top."""
        first, end = (layers - k * layers // self.plan.slices for k in (stage + 1, stage))
        school = self.school
        tune = f"{LORA}{first}-{end - 1}"
        return Plan(tune=tune, rank=school.rank, lora_alpha=school.lora_alpha, seed=self.plan.init("adapter"))

    def _lessons(self, lm: LM, steps: Iterator[Step]) -> Iterator[tuple[float, Pull]]:
        return ((self.school.rate(s, self.plan), partial(pull, lm, s.records, self.plan.batch)) for s in steps)


def _together(lm: LM, groups: Sequence[Group], made_by: str = "s3t") -> Edit:
    return Edit(lm.digest(), {name: chain for group in groups for name, chain in group.items()}, made_by=made_by)
