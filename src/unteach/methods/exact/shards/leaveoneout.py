"""Teachers of disjoint people: each is left out where its own people are asked about."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import kl_div

from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.edit.trainable import trainable
from unteach.lm.model import LM
from unteach.methods.exact.guarantees import influence_free, retrain_equal
from unteach.methods.exact.shards.descent import Pull, descend
from unteach.methods.exact.shards.ensemble import Ensemble
from unteach.methods.exact.shards.nodes import InMemory
from unteach.methods.exact.shards.sharded import Corpus, Sharded, taught
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.stage import Schooling
from unteach.registry import learner
from unteach.schema import EMPIRICAL, Guarantee, GuaranteeKind, InputError, Record


@dataclass(frozen=True, eq=False)
class Teachers:
    """The shards that are whole, asked about a record without the one that the record lies in."""

    lm: LM
    plan: ShardPlan
    members: Mapping[int, Edit] = field(repr=False)

    def others(self, records: Sequence[Record]) -> Ensemble:
        """All teachers but those of these records' people."""
        own = {self.plan.place(r).shard for r in records}
        chosen = tuple(edit for shard, edit in self.members.items() if shard not in own)
        if not chosen:
            raise InputError("no teacher is left that never saw the records; ask about fewer, or rebuild the shards")
        return Ensemble(self.lm, chosen)

    def logps(self, records: Sequence[Record]) -> list[Float[Tensor, " n"]]:
        """The log-probability of each token of each answer, each by the others."""
        return [self.others([r]).logps([r])[0] for r in records]

    def generate(self, records: Sequence[Record], max_new: int = 64) -> list[str]:
        """Greedy answers, each by the others."""
        return [self.others([r]).generate([r], max_new)[0] for r in records]

    def student(self, knows: Edit, records: Sequence[Record], plan: Plan) -> Edit:
        """The model that wears `knows`, trained to say of each record what the others say: one record a step."""
        goals = [(r, self.others([r]).probabilities([r])) for r in records]
        with knows.on(self.lm):
            base = self.lm.digest()
            with trainable(self.lm, plan) as parts:
                descend(parts.parameters, _lessons(self.lm, goals, plan), clip=plan.clip)
                patches = parts.patches()
        return knows.then(Edit(base, patches, made_by="leaveoneout student", guarantee=EMPIRICAL))


def _lessons(lm: LM, goals: Sequence[tuple[Record, Float[Tensor, "N V"]]], plan: Plan) -> Iterator[tuple[float, Pull]]:
    def pull(record: Record, goal: Float[Tensor, "N V"]) -> None:
        said = lm.logits(lm.batch([record])).double().log_softmax(-1)
        loss = kl_div(said, goal, reduction="sum") / len(goal)
        loss.backward()  # type: ignore[no-untyped-call]

    steps = max(1, round(plan.epochs * len(goals)))
    for step in range(steps if goals else 0):
        yield plan.rate(step, steps, len(goals)), partial(pull, *goals[step % len(goals)])


@learner("leaveoneout", tested_by="test_the_teacher_of_a_record_is_never_asked_about_it")
@dataclass(frozen=True)
class LeaveOneOut:
    """A teacher for each shard; about a record speak the teachers that never saw its people, as the mean of p(next).

        q(v | x) = 1 / (M - 1) sum over m other than the record's own of p_m(v | x)

    Liu and Kalinli 2023, arXiv:2309.16082. All records of a subject lie in one shard, so that what is said of a record
    is free of all rows of its subject without any training. A deletion throws away the stages that read the rows, and
    what is released stands without those teachers at once; `rebuild` trains them without the rows, after which all is
    as if they had never been there, bit for bit.

    `Teachers.student` is the distillation of the paper: one model that knows all, trained on KL(q || p) at the records
    to forget. It is empirical; its weights have read the rows, and no more is claimed than is measured.

    A question costs a forward pass for each other shard. Which shard a question belongs to must be known: a question
    without its subject is asked of all but the shard that its id falls into, and so of a teacher that may know the
    answer. Delete what nobody may be told.

    Example: ``LeaveOneOut(ShardPlan(shards=4, slices=1)).fit(Corpus(lm, records))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    plan: ShardPlan = field(default_factory=lambda: ShardPlan(slices=1))
    school: Schooling = field(default_factory=Schooling)

    def __post_init__(self) -> None:
        if self.plan.shards < 2:
            raise InputError("to leave one teacher out there must be another; give the plan 2 shards or more")

    def fit(self, data: Corpus, /) -> Sharded:
        return taught(data, self.plan, self.school)

    def delete(self, state: Sharded, ids: Sequence[str], /) -> tuple[Sharded, Guarantee]:
        """Throw away what read the rows; nothing is trained."""
        left = state.corpus.without(ids)
        first = _first_slices(self.plan, state.corpus.records, set(ids))
        build = {s: chain[: first.get(s, len(chain))] for s, chain in state.build.items()}
        after = replace(state, corpus=left, build=build, trained=0).pruned()
        return after, influence_free("every teacher that is left", {"teachers": len(_whole(after))})

    def rebuild(self, state: Sharded) -> tuple[Sharded, Guarantee]:
        """Train the teachers that are missing, on what is left."""
        after = taught(state.corpus, self.plan, self.school, InMemory(dict(state.kept.found)))
        return after.pruned(), retrain_equal("every teacher", {"trained": after.trained})

    def release(self, state: Sharded, /) -> Teachers:
        claim = influence_free("the teacher")
        members = {s: state.worn(state.trainer.patches(state.last(s)), f"teacher {s}", claim) for s in _whole(state)}
        return Teachers(state.corpus.lm, self.plan, members)


def _first_slices(plan: ShardPlan, records: Sequence[Record], gone: Collection[str]) -> dict[int, int]:
    """Of each shard that loses records the first slice that does."""
    found: dict[int, int] = {}
    for place in (plan.place(r) for r in records if r.id in gone):
        found[place.shard] = min(place.slice, found.get(place.shard, place.slice))
    return found


def _whole(state: Sharded) -> tuple[int, ...]:
    """The shards that have records and all of their stages."""
    return tuple(s for s in state.living() if len(state.build[s]) == state.plan.slices)
