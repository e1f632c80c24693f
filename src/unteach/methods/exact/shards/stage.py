"""One stage of a shard: a pure function of the records that survive, the stage before, and constants."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Protocol

import torch
from torch import Tensor, nn

from unteach.edit.patches import AddOuter, Patch, Put
from unteach.edit.plan import Plan
from unteach.edit.trainable import trainable
from unteach.lm.dice import seeded
from unteach.lm.model import LM
from unteach.methods.exact.shards.descent import Pull, adamw, descend, pull
from unteach.methods.exact.shards.shardplan import ShardPlan, Step
from unteach.schema import InputError

ENGINE = 2  # raised whenever the same plan would train to other bits
WEIGHT = "weight."
STATE = {"step": "step.", "exp_avg": "mean.", "exp_avg_sq": "square."}  # of AdamW: what a stage hands on

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

    def rate(self, step: Step, plan: ShardPlan) -> float:
        """The learning rate of a step, by its number among all that are planned."""
        return self.lr * (1 - 0.9 * step.number / max(1, plan.total))


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
            optimiser = _at(parameters, parent, self.school)
            descend(parameters, self._lessons(steps), clip=self.school.clip, optimiser=optimiser)
            return _left(parameters, optimiser)

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

    def _lessons(self, steps: Iterable[Step]) -> Iterator[tuple[float, Pull]]:
        return ((self.school.rate(step, self.plan), partial(self._pull, step)) for step in steps)

    def _pull(self, step: Step) -> None:
        read = [replace(r, paraphrases=(), perturbed=()) for r in step.records]  # what the commitments are to
        with seeded(step.seed, self.lm.device):
            pull(self.lm, read, self.plan.batch)


def _at(parameters: Mapping[str, nn.Parameter], parent: Tensors | None, school: Schooling) -> torch.optim.AdamW:
    """The optimiser as the stage before left it, on parameters that are put back there too."""
    optimiser = adamw(parameters, school.weight_decay)
    for name, parameter in parameters.items() if parent else ():
        assert parent is not None
        with torch.no_grad():
            parameter.copy_(parent[WEIGHT + name])
        optimiser.state[parameter] = {key: parent[prefix + name].clone() for key, prefix in STATE.items()}
    return optimiser


def _left(parameters: Mapping[str, nn.Parameter], optimiser: torch.optim.AdamW) -> Tensors:
    """Parameters and moments, by name; a stage without steps leaves moments of nought."""
    made: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        made[WEIGHT + name] = parameter.detach().clone().contiguous()
        nought = {"step": torch.tensor(0.0), "exp_avg": torch.zeros_like(made[WEIGHT + name])}
        state = optimiser.state.get(parameter) or nought | {"exp_avg_sq": nought["exp_avg"].clone()}
        made |= {prefix + name: state[key].contiguous() for key, prefix in STATE.items()}
    return dict(sorted(made.items()))
