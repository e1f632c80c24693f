"""The plan of a training, and its schedule: a pure function of the plan and of the records' ids and lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil, cos, pi
from typing import Literal

DEEPEST = 10_000  # more layers than any model has
DOWN = "down:"  # the down-projections alone
LORA = "lora:"  # an adapter of these layers alone
BUCKET = 16  # batches whose rows are sorted by length together


@dataclass(frozen=True)
class Plan:
    """How a training runs. The defaults are those published for models of 1 to 8 billion parameters.

    `tune` is lora, an adapter of some layers alone, such as lora:3-5, full, the layers to train, such as 3-5 or 0,7, or
    their down-projections alone, such as down:3-5; left out, what the objective was published with, which is LoRA unless it says otherwise. `lr` left out means 1e-4
    for LoRA and 1e-5 otherwise. `epochs` counts passes over the forget set. `stop_forget` ends training when the mean probability
    of the forget answers has come down to it; `stop_retain` ends it before the greedy token accuracy on the
    retain set falls below this share of what it was, and goes back to the last measurement above it.
    `checkpoint_every` counts steps; 0 means every five minutes.
    """

    tune: str | None = None
    rank: int = 32
    lora_alpha: float = 64.0
    epochs: float = 10.0
    lr: float | None = None
    batch_size: int = 16
    accumulate: int = 2
    warmup_epochs: float = 1.0
    decay: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    stop_forget: float | None = None
    stop_retain: float | None = None
    measure_every: float = 1.0
    checkpoint_every: int = 0
    report_to: str = ""

    def __post_init__(self) -> None:
        positive = ("rank", "lora_alpha", "epochs", "batch_size", "accumulate", "clip", "measure_every")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0")
        for name in ("warmup_epochs", "weight_decay", "checkpoint_every"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative")
        if self.lr is not None and not 0 < self.lr < 10:
            raise ValueError("lr must lie between 0 and 10")
        for name in ("stop_forget", "stop_retain"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must lie between 0 and 1")
        if self.tune not in (None, "lora", "full"):
            layers(self.tune)

    @property
    def lora(self) -> bool:
        """Whether what is trained is an adapter."""
        return self.tune is None or self.tune.startswith("lora")

    def rate(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """The learning rate of a step (from 0)."""
        peak = self.lr if self.lr is not None else (1e-4 if self.lora else 1e-5)
        warm = round(self.warmup_epochs * steps_per_epoch) if steps > self.warmup_epochs * steps_per_epoch else 0
        if step < warm:
            return peak * (step + 1) / (warm + 1)
        done = (step - warm) / max(1, steps - warm)
        return peak * {"linear": 1 - done, "cosine": (1 + cos(pi * done)) / 2, "constant": 1.0}[self.decay]


def layers(text: str) -> tuple[int, ...]:
    """The numbers in a list of layers such as ``3-5,7``, ``down:3-5`` or ``lora:3-5``."""
    found: list[int] = []
    try:
        for part in text.removeprefix(DOWN).removeprefix(LORA).split(","):
            first, _, last = part.partition("-")
            span = range(int(first), int(last or first) + 1)
            if not 0 < len(span) < DEEPEST:
                raise ValueError
            found.extend(span)
    except ValueError:
        raise ValueError("tune must be lora, full, layers such as 3-5 or 0,7, down:3-5, or lora:3-5") from None
    return tuple(found)


@dataclass(frozen=True)
class Step:
    """One micro-batch: the ids of its rows to forget and to keep, and the epoch they belong to."""

    forget: tuple[str, ...]
    retain: tuple[str, ...]
    epoch: int


def draw(*parts: object) -> int:
    """64 random bits that depend on nothing but the parts (seed, purpose, step, record id ...)."""
    return int.from_bytes(sha256("\x1f".join(map(str, parts)).encode()).digest()[:8], "big")


def schedule(forget: Mapping[str, int], retain: Mapping[str, int], plan: Plan) -> tuple[Step, ...]:
    """Every micro-batch of a training; the mappings give the length of each row.

    Forget rows are anchors: each epoch passes over all of them, with as many retain rows beside them; where
    there is nothing to forget, the retain rows are the anchors (plain fine-tuning). Rows of similar length
    share a batch.
    """
    anchors, others = (forget, retain) if forget else (retain, {})
    per_epoch = ceil(len(anchors) / plan.batch_size)
    total = max(1, round(plan.epochs * per_epoch))
    stream = _stream(others, ceil(total / per_epoch) * len(anchors), plan.seed) if others else []
    steps: list[Step] = []
    for epoch in range(ceil(total / per_epoch)):
        order = sorted(anchors, key=lambda i: draw(plan.seed, "anchors", epoch, i))
        beside = stream[epoch * len(order) : (epoch + 1) * len(order)]
        pairs = _bucketed(order, beside, anchors, others, plan, epoch)
        steps += [Step(a, b, epoch) if forget else Step((), a, epoch) for a, b in pairs]
    return tuple(steps[:total])


def alternating(forget: Mapping[str, int], retain: Mapping[str, int], plan: Plan) -> tuple[Step, ...]:
    """The same micro-batches, where in each epoch the forget rows come first and the retain rows after them."""
    together = schedule(forget, retain, plan)
    found: list[Step] = []
    for epoch in range(together[-1].epoch + 1):
        mine = [s for s in together if s.epoch == epoch]
        found += [Step(s.forget, (), epoch) for s in mine]
        found += [Step((), s.retain, epoch) for s in mine if s.retain]
    return tuple(found)


def _stream(rows: Mapping[str, int], count: int, seed: int) -> list[str]:
    """Passes over the rows, each in an order of its own, until there are enough."""
    passes = range(ceil(count / len(rows)))
    return [i for lap in passes for i in sorted(rows, key=lambda i: draw(seed, "beside", lap, i))][:count]


def _bucketed(
    order: Sequence[str], beside: Sequence[str], first: Mapping[str, int], second: Mapping[str, int],
    plan: Plan, epoch: int,
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:  # fmt: skip
    size, width = plan.batch_size, plan.batch_size * BUCKET
    batches: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for at in range(0, len(order), width):
        a = sorted(order[at : at + width], key=lambda i: (first[i], i))
        b = sorted(beside[at : at + width], key=lambda i: (second[i], i))
        batches += [(tuple(a[k : k + size]), tuple(b[k : k + size])) for k in range(0, len(a), size)]
    return sorted(batches, key=lambda pair: draw(plan.seed, "batches", epoch, *pair[0]))
