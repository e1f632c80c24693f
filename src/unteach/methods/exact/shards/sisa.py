"""Sharded, isolated, sliced, aggregated."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.shards.ensemble import Ensemble
from unteach.methods.exact.shards.sharded import Corpus, Sharded, rebuilt, taught
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.stage import Schooling
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError


@learner("sisa", tested_by="test_sisa_forgets_as_if_it_had_never_seen_the_rows")
@dataclass(frozen=True)
class SISA:
    """A whole model for each shard, each taught slice after slice; asked together, as the mean of their probabilities.

    Bourtoule et al. 2021, arXiv:1912.03817. Stage i of a shard goes on from stage i - 1 with the slices 1 to i; a
    deletion goes back to the stage before the record's slice. `vote` takes the majority of their most likely tokens in
    place of the mean. Unlike the authors' code, the optimiser goes on with its moments, and no batch, rate or seed depends
    on how many records there are (see `ShardPlan`): the shard after a deletion is the shard that was never taught the
    record, bit for bit, on a machine with the same fingerprint.

    A question costs a forward pass for each shard, and a shard alone knows a part of the data.

    Example: ``SISA(ShardPlan(shards=2)).fit(Corpus(lm, records))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    plan: ShardPlan = field(default_factory=ShardPlan)
    school: Schooling = field(default_factory=lambda: Schooling(tune="full"))
    vote: bool = False

    def fit(self, data: Corpus, /) -> Sharded:
        return taught(data, self.plan, self.school)

    def delete(self, state: Sharded, ids: Sequence[str], /) -> tuple[Sharded, Guarantee]:
        after = rebuilt(state, ids)
        return after, retrain_equal("every shard", {"trained": after.trained})

    def release(self, state: Sharded, /) -> Ensemble:
        return asked_together(state, state.living(), vote=self.vote)


@learner("sisaa", tested_by="test_sisaa_leaves_the_trunk_alone")
@dataclass(frozen=True)
class SISAA:
    """SISA over a frozen trunk: an adapter for each shard is all that is trained and kept.

    Kumar et al. 2022, arXiv:2212.09573, with LoRA (Hu et al. 2021, arXiv:2106.09685) in place of Houlsby's adapters.
    Storage is that of the adapters, a few percent of a model for each stage. What the trunk was pretrained on cannot be
    taken out of it.

    Example: ``SISAA(ShardPlan(shards=4, slices=4)).fit(Corpus(lm, records))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    plan: ShardPlan = field(default_factory=ShardPlan)
    school: Schooling = field(default_factory=Schooling)
    vote: bool = False

    def __post_init__(self) -> None:
        if self.school.tune != "lora":
            raise InputError("sisaa trains adapters over a frozen trunk; choose tune lora, or the learner sisa")

    def fit(self, data: Corpus, /) -> Sharded:
        return taught(data, self.plan, self.school)

    def delete(self, state: Sharded, ids: Sequence[str], /) -> tuple[Sharded, Guarantee]:
        after = rebuilt(state, ids)
        return after, retrain_equal("every adapter", {"trained": after.trained})

    def release(self, state: Sharded, /) -> Ensemble:
        return asked_together(state, state.living(), vote=self.vote)


def asked_together(state: Sharded, shards: Sequence[int], *, vote: bool) -> Ensemble:
    """The last stages of these shards as one."""
    claim = retrain_equal("the shard")
    edits = [state.worn(state.trainer.patches(state.last(s)), f"shard {s}", claim) for s in shards]
    return Ensemble(state.corpus.lm, tuple(edits), vote)
