"""Training again without the rows: what every other way of forgetting is measured by."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from unteach.edit.edit import Edit
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.shards.sharded import Corpus, Sharded, rebuilt, taught
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.stage import Schooling
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError

WHOLE = ShardPlan(shards=1, slices=1, rows=1024)


@learner("retrain", tested_by="test_retraining_is_training_without_the_rows")
@dataclass(frozen=True)
class Retrain:
    """One model taught all records in one stage; a deletion throws it away and trains another without the rows.

    The plan has one shard and one slice, and is otherwise the one that sharded learners have (see `ShardPlan`): which
    step a record is in, the rates and the draws do not depend on the other records. So training twice on the same
    records gives the same bits, on a machine with the same fingerprint, and what is left of the noise between an
    unlearned model and a retrained one is the unlearning's own.

    Nothing that is learned is lost to sharding, and every deletion costs a whole training. `rows` of the plan is how
    many records a pass is planned for.

    Reference: retraining itself, which all others are held against.

    Example: ``Retrain().fit(Corpus(lm, records))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    plan: ShardPlan = WHOLE
    school: Schooling = field(default_factory=Schooling)

    def __post_init__(self) -> None:
        undivided(self.plan)

    def fit(self, data: Corpus, /) -> Sharded:
        return taught(data, self.plan, self.school)

    def delete(self, state: Sharded, ids: Sequence[str], /) -> tuple[Sharded, Guarantee]:
        after = rebuilt(state, ids)
        return after, retrain_equal("the model", {"trained": after.trained})

    def release(self, state: Sharded, /) -> Edit:
        return state.worn(state.trainer.patches(state.last(0)), "retrain", retrain_equal("the model"))


def undivided(plan: ShardPlan) -> None:
    """Refuse a plan that parts the data."""
    if (plan.shards, plan.slices) != (1, 1):
        raise InputError("this learner parts no data; give its plan 1 shard and 1 slice")
