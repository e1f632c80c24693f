"""One stage of a shard: a pure function of the records that survive, the stage before, and constants."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Protocol

import torch
from torch import Tensor, nn

from unteach.edit.patches import AddOuter, Patch, Put
from unteach.edit.plan import Plan
from unteach.edit.trainable import trainable
from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.methods.exact.shards.shardplan import ShardPlan, Step
from unteach.schema import InputError, Record

ENGINE = 1  # raised whenever the same plan would train to other bits
WEIGHT, MEAN, SQUARE, COUNT = "weight.", "mean.", "square.", "count"
BETAS, EPSILON = (0.9, 0.999), 1e-8
AT_ONCE = 32  # rows in one pass; the rest of a step follows, in order

Tensors = Mapping[str, Tensor]


class Trainer(Protocol):
    """Trains stages; `digest` names everything that they depend on but the records."""

    def digest(self) -> str: ...

    def train(self, parent: Tensors | None, steps: Iterable[Step]) -> Tensors: ...


@dataclass(frozen=True)
class Schooling:
    """How a stage trains: `tune` is lora or full, the rate falls linearly over all planned steps to a tenth.

    Of a LoRA adapter A is drawn from the plan's key, the same in all shards, and B alone is trained: so the mean of
    shards is an adapter of the same rank.
    """

    tune: str = "lora"
    rank: int = 16
    lora_alpha: float = 32.0
    lr: float = 1e-3
    weight_decay: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.tune not in ("lora", "full"):
            raise InputError("a stage trains an adapter or everything; choose tune lora or full")
        if not (
            self.rank > 0 and self.lora_alpha > 0 and 0 < self.lr < 10 and self.weight_decay >= 0 and self.clip > 0
        ):
            raise InputError("rank, lora_alpha, lr and clip must be above 0, and weight_decay not below")


@dataclass(frozen=True, eq=False)
class LMTrainer:
    """AdamW on the answers of a causal model. The loss of a step is the sum over its records of the mean negative
    log-probability of their tokens, over the planned (not the actual) number of records of a step.
    """

    lm: LM
    plan: ShardPlan
    school: Schooling

    def digest(self) -> str:
        said = [ENGINE, self.lm.digest(), sorted(asdict(self.plan).items()), sorted(asdict(self.school).items())]
        return sha256(repr(said).encode()).hexdigest()

    def train(self, parent: Tensors | None, steps: Iterable[Step]) -> Tensors:
        """The tensors in training and the optimiser's, after the steps; the model comes back as it was."""
        with self.lm.lock, self._ready() as parameters:
            state = _State.of(parameters, parent)
            for step in steps:
                self._step(state, step)
            return state.tensors()

    def patches(self, tensors: Tensors) -> dict[str, tuple[Patch, ...]]:
        """What a stage's tensors are as changes of the model."""
        if self.school.tune == "full":
            return {n.removeprefix(WEIGHT): (Put(t),) for n, t in tensors.items() if n.startswith(WEIGHT)}
        with self.lm.lock, trainable(self.lm, self._adapter()) as parts, torch.no_grad():
            for name, parameter in parts.parameters.items():
                if WEIGHT + name in tensors:
                    parameter.copy_(tensors[WEIGHT + name])
            return {n: chain for n, chain in parts.patches().items() if isinstance(chain[0], AddOuter)}

    def _adapter(self) -> Plan:
        school = self.school
        return Plan(tune=school.tune, rank=school.rank, lora_alpha=school.lora_alpha, seed=self.plan.init("adapter"))

    @contextmanager
    def _ready(self) -> Iterator[dict[str, nn.Parameter]]:
        with trainable(self.lm, self._adapter()) as parts:
            chosen = {n: p for n, p in sorted(parts.parameters.items()) if not n.endswith(".lora_A")}
            for name, parameter in parts.parameters.items():
                parameter.requires_grad_(name in chosen)
            yield chosen

    def _step(self, state: "_State", step: Step) -> None:
        rows = [self._row(r) for r in step.records]
        state.clear()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step.seed)
            for at in range(0, len(rows), AT_ONCE):
                part = rows[at : at + AT_ONCE]
                batch = collate(part, [str(i) for i in range(len(part))], pad=self.lm.pad, device=self.lm.device)
                lost = -self.lm.run(batch).token_logps
                each = torch.zeros(len(part), dtype=lost.dtype, device=lost.device).index_add(0, batch.rows, lost)
                torch.autograd.backward((each / batch.lengths.clamp(min=1)).sum() / self.plan.batch)
        done = step.number / max(1, self.plan.total)
        state.update(self.school.lr * (1 - 0.9 * done), self.school)

    def _row(self, record: Record) -> Row:
        return self.lm.encoder.row(replace(record, paraphrases=(), perturbed=()))


@dataclass(frozen=True, eq=False)
class _State:
    """Parameters in training with the moments of Adam (Kingma and Ba 2015, arXiv:1412.6980, decay apart)."""

    parameters: Mapping[str, nn.Parameter]
    mean: dict[str, Tensor]
    square: dict[str, Tensor]
    count: Tensor

    @classmethod
    def of(cls, parameters: Mapping[str, nn.Parameter], parent: Tensors | None) -> "_State":
        kept = parent or {}
        with torch.no_grad():
            for name, parameter in parameters.items():
                if kept:
                    parameter.copy_(kept[WEIGHT + name])
        nought = {n: torch.zeros_like(p, memory_format=torch.contiguous_format) for n, p in parameters.items()}
        return cls(
            parameters,
            {n: kept[MEAN + n].clone() if kept else t.detach() for n, t in nought.items()},
            {n: kept[SQUARE + n].clone() if kept else t.detach().clone() for n, t in nought.items()},
            kept[COUNT].clone() if kept else torch.zeros((), dtype=torch.int64),
        )

    def clear(self) -> None:
        for parameter in self.parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def update(self, rate: float, school: Schooling) -> None:
        found = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
        norm = torch.stack([g.norm() for g in found.values()]).norm()
        if not torch.isfinite(norm):
            raise InputError("the loss became infinite; lower --lr")
        self.count.add_(1)
        scale = min(1.0, school.clip / (float(norm) + 1e-12))
        first, second = BETAS
        n = int(self.count)
        for name, gradient in found.items():
            parameter, mean, square = self.parameters[name], self.mean[name], self.square[name]
            gradient = gradient * scale
            mean.mul_(first).add_(gradient, alpha=1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            parameter.mul_(1 - rate * school.weight_decay)
            wide = (square / (1 - second**n)).sqrt_().add_(EPSILON)
            parameter.addcdiv_(mean, wide, value=-rate / (1 - first**n))

    def tensors(self) -> dict[str, Tensor]:
        made = {WEIGHT + n: p.detach().clone().contiguous() for n, p in self.parameters.items()}
        made |= {MEAN + n: t for n, t in self.mean.items()} | {SQUARE + n: t for n, t in self.square.items()}
        return dict(sorted((made | {COUNT: self.count}).items()))
