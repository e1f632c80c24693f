"""Adapters of shards, added up in whole numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from unteach.edit.edit import Edit
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.shards.sharded import Corpus, Sharded, merged, rebuilt, taught
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.stage import Schooling
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind


@learner("mergeshards", tested_by="test_an_incremental_build_is_the_clean_build")
@dataclass(frozen=True)
class MergeShards:
    """One adapter for each shard, with one shared A, released as an adapter of the same size: the mean of their B.

    Shards and slices after Bourtoule et al. 2021, arXiv:1912.03817, on a plan in which a deletion moves no other record
    (see `ShardPlan`). With A frozen and shared, mean(B) A is the mean of the updates, at their rank; it is added up in
    multiples of 2^-40, so that the order does not matter and taking a shard out is exact. `weight` times the mean is
    released, a constant that no deletable data may tune.

    A deletion trains the stages behind the record's slice in its shard, (2R + 1) / (3R) of a shard on average, and the
    artefact is that of a clean build, bit for bit, on a machine with the same fingerprint. The price is utility: each
    shard has seen a part of the data, and the mean weakens what each has learned.

    Example: ``MergeShards(ShardPlan(shards=4, slices=4)).fit(Corpus(lm, records))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    plan: ShardPlan = field(default_factory=ShardPlan)
    school: Schooling = field(default_factory=Schooling)
    weight: float = 1.0

    def fit(self, data: Corpus, /) -> Sharded:
        return taught(data, self.plan, self.school)

    def delete(self, state: Sharded, ids: Sequence[str], /) -> tuple[Sharded, Guarantee]:
        after = rebuilt(state, ids)
        return after, retrain_equal("the merged adapter", {"trained": after.trained})

    def release(self, state: Sharded, /) -> Edit:
        parts = [state.last(s) for s in state.living()]
        return merged(state, parts, self.weight, retrain_equal("the merged adapter"), "mergeshards")
