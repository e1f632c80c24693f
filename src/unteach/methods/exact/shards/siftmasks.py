"""Task vectors of one random sign each weight, added up in whole numbers, from which a task is taken by subtraction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.shards import merge
from unteach.methods.exact.shards.retrain import WHOLE, undivided
from unteach.methods.exact.shards.sharded import Corpus
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.stage import WEIGHT, LMTrainer, Schooling, Tensors
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError, Record

Whole = Mapping[str, Tensor]  # int64


@dataclass(frozen=True, eq=False)
class Sifted:
    """The vector of every task, by its name, and their sum in whole numbers."""

    corpus: Corpus
    trainer: LMTrainer
    vectors: Mapping[str, Tensors] = field(repr=False)
    total: Whole = field(repr=False)
    trained: int = 0  # records of the steps that the last change took


@dataclass(frozen=True, eq=False)
class Local:
    """The models of the tasks, each behind its own mask."""

    state: Sifted
    weight: float

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(sorted(self.state.vectors))

    def mask(self, task: str) -> dict[str, Bool[Tensor, "..."]]:
        """Where the task itself has moved a weight: one bit each is all that serving it needs beside the sum."""
        if task not in self.state.vectors:
            raise InputError("there is no such task; ask for one of 'tasks'")
        return {name: vector != 0 for name, vector in self.state.vectors[task].items()}

    def edit(self, task: str) -> Edit:
        """`weight` times the mean of all vectors, where the task's mask lets it through."""
        state, lm = self.state, self.state.corpus.lm
        mean = merge.mean(state.total, len(state.vectors))
        start = _weights(state.trainer.train(None, ()))
        values = {
            WEIGHT + name: torch.where(seen, start[name] + self.weight * mean[name].to(start[name]), start[name])
            for name, seen in self.mask(task).items()
        }
        claim = retrain_equal("the model of the task")
        return Edit(lm.digest(), state.trainer.patches(values), made_by="siftmasks", guarantee=claim)


@learner("siftmasks", tested_by="test_a_task_that_is_subtracted_was_never_added")
@dataclass(frozen=True)
class SiftMasks:
    """A model for each task, merged so that a task comes out by subtraction.

        tau_c = theta_c - theta where its sign is that of v, else 0
        theta + weight * m_c * mean(tau),   m_c = [tau_c != 0]

    v holds a random sign for each weight, drawn from the plan's key and not from data; a task is taught its rows alone
    and is projected after each step, so that vectors never pull against each other. The sum is kept in multiples of
    2^-40: taking a task out is exact, in any order, and equals never having added it, bit for bit, on a machine with
    the same fingerprint. If only some rows of a task go, its vector is trained again on the rest.
    Kuo et al. 2025, arXiv:2504.04626. `weight` is a constant that no deletable data may tune.

    A task is a subject, or a label, by `by`; a row that has none is a task of its own. Who asks must know the task: the
    mask of a task is made from its rows, and goes with it. A vector is kept for each task, of the size of what is
    trained.

    Example: ``SiftMasks().fit(Corpus(lm, records))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    plan: ShardPlan = WHOLE
    school: Schooling = field(default_factory=Schooling)
    by: Literal["subject", "label"] = "subject"
    weight: float = 1.0

    def __post_init__(self) -> None:
        undivided(self.plan)

    def fit(self, data: Corpus, /) -> Sifted:
        trainer = LMTrainer(data.lm, self.plan, self.school)
        rows = self._tasks(data.records)
        vectors = {task: self._vector(trainer, part) for task, part in rows.items()}
        return Sifted(data, trainer, vectors, merge.total(vectors.values()), self.plan.epochs * len(data.records))

    def delete(self, state: Sifted, ids: Sequence[str], /) -> tuple[Sifted, Guarantee]:
        """Subtract the tasks of the rows, and add what the rest of their rows teach."""
        left, gone = state.corpus.without(ids), set(ids)
        touched = {self.task_of(r) for r in state.corpus.records if r.id in gone}
        total = dict(state.total)
        for task in touched:
            total = merge.without(total, state.vectors[task])
        rest = {task: part for task, part in self._tasks(left.records).items() if task in touched}
        again = {task: self._vector(state.trainer, part) for task, part in rest.items()}
        for vector in again.values():
            total = {name: value + merge.whole(vector[name]) for name, value in total.items()}
        kept = {task: v for task, v in state.vectors.items() if task not in touched}
        trained = self.plan.epochs * sum(map(len, rest.values()))
        after = Sifted(left, state.trainer, dict(sorted((kept | again).items())), total, trained)
        return after, retrain_equal("the sum of the tasks, with every mask,", {"trained": trained})

    def release(self, state: Sifted, /) -> Local:
        return Local(state, self.weight)

    def task_of(self, record: Record) -> str:
        """The task that a record belongs to."""
        if self.by == "label":
            return f"id {record.id}" if record.label is None else f"label {record.label}"
        return f"subject {record.subject}" if record.subject else f"id {record.id}"

    def _tasks(self, records: Iterable[Record]) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for record in sorted(records, key=lambda r: r.id):
            found.setdefault(self.task_of(record), []).append(record)
        return dict(sorted(found.items()))

    def _vector(self, trainer: LMTrainer, rows: Sequence[Record]) -> Tensors:
        """What a task alone changes, where the signs let it."""
        now = trainer.train(None, ())
        start = _weights(now)
        signs = {name: _signs(value, self.plan.init(f"sign {name}")) for name, value in start.items()}
        for step in self.plan.steps(0, 0, rows):
            now = trainer.train(now, [step])
            held = {
                WEIGHT + n: torch.where((v - start[n]) * signs[n] > 0, v, start[n]) for n, v in _weights(now).items()
            }
            now = {**now, **held}
        return {name: value - start[name] for name, value in _weights(now).items()}


def _weights(tensors: Tensors) -> dict[str, Tensor]:
    return {n.removeprefix(WEIGHT): t for n, t in tensors.items() if n.startswith(WEIGHT)}


def _signs(like: Tensor, seed: int) -> Tensor:
    drawn = torch.randint(0, 2, like.shape, generator=torch.Generator().manual_seed(seed))
    return (2 * drawn - 1).to(like.device)
