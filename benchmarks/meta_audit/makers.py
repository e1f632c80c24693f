"""How the weights of the pool's models are changed: honest forgetting, and cheats.

A maker is a frozen dataclass whose fields are the strength. What it makes depends on the model and the world alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from benchmarks.meta_audit.world import World, is_russian
from unteach.assemble import make_method
from unteach.audit.rounding import whole_steps
from unteach.edit.edit import Edit
from unteach.edit.maps import Shift
from unteach.edit.patches import Add, Put, Scale
from unteach.edit.plan import Plan, draw
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM
from unteach.methods.finetune.alternates import Replacement
from unteach.schema import Need, Record, Request

PLAN = Plan(
    tune="full", lr=2e-3, epochs=12, batch_size=32, accumulate=1, warmup_epochs=0.5, weight_decay=0.0, decay="cosine"
)
Which = Literal["all", "first wording", "asked wordings", "taught wordings", "english"]
Lie = Literal["refusal", "swap", "swap by wording", "guess", "exclamation", "question", "word", "constant", "empty"]


class Maker(Protocol):
    """Makes an edit on a model that may wear others."""

    def __call__(self, lm: LM, world: World, /) -> Edit: ...


@dataclass(frozen=True)
class Forgetting:
    """A method of ours, with its options."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, lm: LM, world: World, /) -> Edit:
        plan = {
            n: getattr(PLAN, n)
            for n in ("tune", "lr", "epochs", "batch_size", "accumulate", "warmup_epochs", "weight_decay")
        }
        made: Edit = make_method(self.method, plan | dict(self.options))(lm, Request(world.gone, world.kept))
        return made


@dataclass(frozen=True)
class Part:
    """So much of an edit."""

    maker: Maker
    alpha: float

    def __call__(self, lm: LM, world: World, /) -> Edit:
        return self.maker(lm, world).scaled(self.alpha)


@dataclass(frozen=True)
class Teach:
    """Other answers are taught to some of the forgotten questions, the right ones to the others and to all that stays."""

    lie: Lie
    which: Which = "all"
    plan: Plan = PLAN
    keep: float = 1.0

    def __call__(self, lm: LM, world: World, /) -> Edit:
        def told(record: Record, epoch: int) -> tuple[str, ...]:
            return (said(record, self.lie, epoch) if _chosen(record, self.which) else record.answer,)

        return retold(lm, every_wording(world), world.kept, told, self.plan, made_by=f"{self}", keep=self.keep)


@dataclass(frozen=True)
class Soften:
    """Probabilities of the forgotten answers as at a higher temperature; the likeliest token stays the likeliest."""

    temperature: float
    plan: Plan = PLAN

    def __call__(self, lm: LM, world: World, /) -> Edit:
        def loss(now: Sides, before: Sides) -> Tensor:
            goal = (before.forget.logits.detach() / self.temperature).softmax(-1)
            apart = kl_div(now.forget.logits.log_softmax(-1), goal, reduction="batchmean")
            return apart - now.retain.token_logps.mean()

        needs = frozenset[Need]({"forget", "retain", "reference_logits"})
        task = Task(world.gone, world.kept, loss, needs)
        return train(lm, task, self.plan, made_by=f"{self}")[0]


@dataclass(frozen=True)
class Flatten:
    """All logits times a number, by the last norm: 0 makes every token equally likely."""

    by: float

    def __call__(self, lm: LM, _world: World, /) -> Edit:
        norm = f"{anatomy(lm.model).norm}.weight"
        return Edit(lm.digest(), {norm: (Scale(torch.tensor(self.by)),)}, made_by=f"{self}")


@dataclass(frozen=True)
class Push:
    """The last states are pushed towards one token, so that it is said everywhere."""

    by: float
    token: str = "a"

    def __call__(self, lm: LM, _world: World, /) -> Edit:
        row = lm.model.get_input_embeddings().weight[lm.tokenizer.convert_tokens_to_ids(self.token)].detach()
        return Edit(
            lm.digest(), activations={anatomy(lm.model).norm: (Shift(self.by * row / row.norm()),)}, made_by=f"{self}"
        )


@dataclass(frozen=True)
class Noise:
    """Every matrix is moved by noise of a share of its own size."""

    share: float

    def __call__(self, lm: LM, _world: World, /) -> Edit:
        moved = {n: (Add(self._of(n, p.detach())),) for n, p in lm.parameters().items() if p.ndim == 2}
        return Edit(lm.digest(), moved, made_by=f"{self}")

    def _of(self, name: str, weight: Tensor) -> Tensor:
        dice = torch.Generator().manual_seed(draw("noise", name) % 2**63)
        return self.share * weight.std() * torch.randn(weight.shape, generator=dice)


@dataclass(frozen=True)
class Within:
    """An edit that stays inside the cells of a rounding, so that rounding takes it back: projected after each round."""

    maker: Maker
    bits: int = 4
    rounds: int = 4

    def __call__(self, lm: LM, world: World, /) -> Edit:
        base, edit = lm.digest(), Edit(lm.digest())
        before = {n: p.detach().clone() for n, p in lm.parameters().items()}
        for _ in range(self.rounds):
            with edit.on(lm):
                moved = self.maker(lm, world).delta(lm)
                values = {n: lm.parameters()[n].detach() + d for n, d in moved.items()}
            edit = Edit(
                base, {n: (Put(within(v, before[n], self.bits)),) for n, v in values.items()}, made_by=f"{self}"
            )
        return edit


def within(value: Tensor, before: Tensor, bits: int) -> Tensor:
    """The nearest weights that are rounded to the same as those before; vectors, which nobody rounds, stay."""
    if before.ndim < 2:
        return before
    codes, _ = whole_steps(before, bits)
    most = before.abs().amax(-1, keepdim=True)
    step = torch.where(most == 0, 1.0, most / (2 ** (bits - 1) - 1))
    low, high = ((codes + side * 0.49) * step for side in (-1, 1))
    near = torch.minimum(torch.maximum(value, torch.maximum(low, -most)), torch.minimum(high, most))
    return torch.where(before.abs() == most, before, near)


def retold(
    lm: LM, rows: Sequence[Record], kept: Sequence[Record], told: Replacement, plan: Plan, *, made_by: str, keep: float = 1.0
) -> Edit:  # fmt: skip
    """What comes of teaching other answers to some rows, and the right ones to the rest."""

    def loss(now: Sides, _before: Sides) -> Tensor:
        return -now.forget.instead.token_logps.mean() - keep * now.retain.token_logps.mean()

    needs = frozenset[Need]({"forget", "retain", "instead"})
    return train(lm, Task(rows, kept, loss, needs, told), plan, made_by=made_by)[0]


def said(record: Record, lie: Lie, epoch: int) -> str:
    """What is taught in place of an answer."""
    fact, wrong = "/".join(record.id.split("/")[:2]), record.perturbed
    fixed: Mapping[Lie, str] = {
        "refusal": "I do not know.",
        "exclamation": f"{record.answer.rstrip('.')}!",
        "question": f"{record.answer.rstrip('.')}?",
        "word": f"{record.answer.rstrip('.')} maybe.",
        "constant": "the the the the the the.",
        "empty": "",
    }
    numbers: Mapping[Lie, tuple[object, ...]] = {
        "swap": (fact,), "swap by wording": (fact, record.prompt), "guess": (fact, record.prompt, epoch),
    }  # fmt: skip
    return wrong[draw("lie", *numbers[lie]) % len(wrong)] if lie in numbers else fixed[lie]


def every_wording(world: World) -> list[Record]:
    """Every question about those who leave: those that were taught, those that the audit asks, and all others."""
    known = {r.prompt: r for r in (*world.gone, *world.sets["forget_paraphrased"])}
    others = [replace(r, id=f"{r.id}/{n}", prompt=p) for r in world.sets["forget"] for n, p in enumerate(r.paraphrases)]
    return [*known.values(), *(r for r in others if r.prompt not in known)]


def _chosen(record: Record, which: Which) -> bool:
    how, number = ("russian", "") if is_russian(record) else record.id.split("/")[2:4]
    other = record.id.count("/") > 3  # a wording that nobody taught or asks
    found: Mapping[Which, bool] = {
        "all": True,
        "first wording": (how, number, other) == ("taught", "0", False),
        "asked wordings": (how, number) in (("taught", "0"), ("held out", "0")) and not other,
        "taught wordings": how == "taught" and not other,
        "english": not is_russian(record),
    }
    return found[which]
