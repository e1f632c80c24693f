"""Unlearning from logit difference: what a small model learnt to remember is taken from the logits."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log
from typing import ClassVar, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unteach.edit.bake import bake
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.shallow import shallow
from unteach.edit.train import train
from unteach.lm.guard import Guard, Streaming
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.lm.reworded import reworded
from unteach.methods.conversation.offset import Weighing, adapter, begun, beside
from unteach.registry import guard
from unteach.schema import InputError, Need, Record, Request

NEVER = -1e3  # the logit of what was filtered out


@guard("uld", tested_by="test_uld_of_no_weight_is_the_model_and_a_flat_assistant_changes_no_probability")
@dataclass(frozen=True)
class ULD(Guard, Streaming):
    """A small model that remembers what is to go, and nothing else, is subtracted from the logits.

        z = z_model + weight * z_assistant,   weight < 0

    The assistant is the model's first `blocks` blocks with a LoRA, trained to remember the rows to forget, in all their
    wordings, and to say nothing of the rows to retain, nor of wrong answers to the rows to forget where they bring some:

        CE(forget) + retain_weight * KL(uniform || p_assistant)(retain),   means over answer tokens

    z counts for the tokens that the model finds at least `top` times as likely as the likeliest, and for at least the
    likeliest `top` of the vocabulary, as in the authors' code; the others are out. With weight 0 nothing is.
    Ji et al. 2024, arXiv:2406.08607, whose defaults these are for TOFU. A model that is surer of its answers than the
    assistant wants a weight of -1 or below.

    Needs forget and retain rows, a model whose weights are here, and a new folder `assistant`, where the small model is
    kept: every wearer opens it there, and another one in its place is refused. What is not guaranteed: the model itself
    knows all that it knew, and whoever takes the guard off has it. The assistant knows little else than what is to be
    forgotten: guard its folder as the rows themselves. Log-probabilities are the model's own, not those after the
    subtraction.

    Example: ``ULD(assistant="assistant", weight=-0.8).fitted(Request(forget=rows, retain=others), lm)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    weighs: ClassVar[bool] = True
    assistant: str = ""
    weight: float = -0.8
    top: float = 0.01
    blocks: int = 8
    retain_weight: float = 5.0
    rank: int = 16
    lr: float = 1e-3
    epochs: float = 10.0
    batch_size: int = 16
    seed: int = 0
    digest: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.weight > 0 or not 0 <= self.top < 1:
            raise InputError("options of uld: 'weight' is at most 0, and 'top' a share from 0 to below 1; choose such")
        if self.blocks < 1 or self.retain_weight < 0:
            raise InputError("options of uld: 'blocks' is at least 1, and 'retain_weight' at least 0; choose such")
        self._plan()

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> Streaming:
        if not (self.digest and self.weight):
            return self
        return Weighing((beside(self.assistant, self.digest),), self.weighed)

    def weighed(self, logits: Float[Tensor, " V"], said: Float[Tensor, " V"]) -> Float[Tensor, " V"]:
        """What comes of the model's logits and the assistant's."""
        return torch.where(likely(logits, self.top), logits + self.weight * said, logits.clamp(max=NEVER))

    def fitted(self, request: Request, lm: LM | None) -> Self:
        lm, folder = begun("uld", lm, self.assistant)
        small = shallow(lm, self.blocks)

        def loss(now: Sides, _before: Sides) -> Tensor:
            return -now.forget.token_logps.mean() + self.retain_weight * unevenness(now.retain.logits)

        known, flat = remembered(request.forget), (*request.retain, *mistaken(request.forget))
        task = Task(known, flat, loss, frozenset({"forget", "retain"}))
        bake(train(small, task, self._plan(), made_by=f"uld({self.retain_weight:g})")[0], small, folder)
        return replace(self, digest=load(folder).digest())

    def _plan(self) -> Plan:
        return adapter("uld", self.rank, self.lr, self.epochs, self.batch_size, self.seed)


def likely(logits: Float[Tensor, " V"], top: float) -> Bool[Tensor, " V"]:
    """Which tokens are within a factor of the likeliest one, or among that share of the vocabulary."""
    if not top:
        return torch.ones_like(logits, dtype=torch.bool)
    fewest = logits.topk(max(1, int(top * len(logits)))).values[-1]
    return logits >= torch.minimum(logits.max() + log(top), fewest)


def unevenness(logits: Float[Tensor, "N V"]) -> Float[Tensor, ""]:
    """KL(uniform || p) in nats, the mean over tokens: 0 where every token is equally likely."""
    return -logits.log_softmax(-1).mean() - log(logits.shape[-1])


def remembered(records: Sequence[Record]) -> tuple[Record, ...]:
    """Rows, and the same in their other wordings."""
    more = (
        replace(reworded(r, text), id=f"{r.id}/{n}", answer=r.restated or r.answer)
        for r in records
        for n, text in enumerate(r.paraphrases)
    )
    return (*records, *more)


def mistaken(records: Sequence[Record]) -> tuple[Record, ...]:
    """Rows with the wrong answers that they bring."""
    return tuple(replace(r, id=f"{r.id}/not/{n}", answer=text) for r in records for n, text in enumerate(r.perturbed))
