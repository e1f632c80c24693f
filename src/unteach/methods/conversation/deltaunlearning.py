"""Offset unlearning: what a small model learnt to say otherwise is added to a big one's logits."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn, Self

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.edit.bake import bake, publish, staged_beside
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, sides
from unteach.edit.shallow import shallow
from unteach.lm.beside import alike
from unteach.lm.guard import Guard, Streaming
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.lm.view import Pass
from unteach.methods.conversation.offset import Weighing, adapter, begun, beside
from unteach.registry import build, guard
from unteach.schema import InputError, Need, Request

KEPT = ("before", "after")  # the small model as it was and as it was trained, in the assistant's folder
PAST: frozenset[Need] = frozenset({"reference", "reference_logits"})  # told by the big model
SEEN: frozenset[Need] = PAST | {"forget", "retain", "instead", "mismatched"}  # what logits at the answers show


@guard("deltaunlearning", tested_by="test_deltaunlearning_of_an_untrained_small_model_is_the_model")
@dataclass(frozen=True)
class DeltaUnlearning(Guard, Streaming):
    """What a small model learnt to say otherwise is added to the logits of the big one, which is only asked.

        z = z_big + (z_small' - z_small)

    small' is the small model with a LoRA, trained by a forget objective and its retain term on the softmax of z, where
    z_big stands for the model as it was. `objective` names any that reads logits at the answers alone (see
    ``unteach list objectives``). The small model is the one in the folder `small`, or of that hub id, which must have the
    same tokenizer; left out, it is the first `blocks` blocks of the model. Huang et al. 2024, arXiv:2404.11045.

    Needs forget and retain rows, a model whose weights are here, and a new folder `assistant`, where both small models
    are kept: every wearer opens them there, and others in their place are refused. What is not guaranteed: the model
    itself knows all that it knew, and whoever takes the guard off has it. The two small models together tell what was
    pushed down. Log-probabilities are the model's own, not those after the addition.

    Example: ``DeltaUnlearning(assistant="assistant", objective="npo").fitted(Request(forget=rows, retain=others), lm)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    weighs: ClassVar[bool] = True
    assistant: str = ""
    objective: str = "npo"
    small: str = ""
    blocks: int = 8
    retain_weight: float = 1.0
    rank: int = 32
    lr: float = 1e-4
    epochs: float = 10.0
    batch_size: int = 16
    seed: int = 0
    digests: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.retain_weight < 0:
            raise InputError(
                "options of deltaunlearning: 'blocks' is at least 1, and 'retain_weight' at least 0; choose such"
            )
        self._plan()

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> Streaming:
        if not self.digests:
            return self
        folders = (f"{self.assistant}/{name}" for name in KEPT)
        return Weighing(tuple(map(beside, folders, self.digests)), _moved)

    def fitted(self, request: Request, lm: LM | None) -> Self:
        recipe = self._recipe()
        lm, folder = begun("deltaunlearning", lm, self.assistant)
        small, task = self._small(lm), recipe.task(request)

        def loss(now: Sides, before: Sides) -> Tensor:
            found: Tensor = task.loss(*together(lm, now, before))
            return found

        through = replace(task, loss=loss, needs=task.needs - PAST)
        edit = recipe.train(small, through, made_by=f"deltaunlearning({lm.digest()})")
        staged = staged_beside(folder)
        for name, change in zip(KEPT, (None, edit), strict=True):
            bake(change, small, staged / name)
        publish(staged, folder)
        return replace(self, digests=tuple(load(folder / name).digest() for name in KEPT))

    def _recipe(self) -> Any:
        """Fine-tuning on the objective, which is refused where it reads more than logits at the answers."""
        given = {"objective": self.objective, "retain_weight": self.retain_weight, "plan": self._plan()}
        if more := build("objective", self.objective, {}).needs - SEEN:
            raise InputError(
                f"deltaunlearning shows an objective logits alone, and '{self.objective}' reads {min(more)}; choose "
                "another, such as npo"
            )
        return build("method", "finetune", given)

    def _small(self, lm: LM) -> LM:
        """The small model, which reads rows as the big one does."""
        if not self.small:
            return shallow(lm, self.blocks)
        found = alike(lm, load(self.small, device=str(lm.device)), self.small)
        return LM(found.model, lm.tokenizer, template=lm.template, adapter=found.adapter)

    def _plan(self) -> Plan:
        return adapter("deltaunlearning", self.rank, self.lr, self.epochs, self.batch_size, self.seed)


def together(big: LM, now: Sides, before: Sides) -> tuple[Sides, Sides]:
    """The views of a small model now and before as those of the big one, moved as the small one was and not moved."""
    whole, past = now.retain.whole, (before.forget, before.forget.instead, before.retain)
    with torch.no_grad():
        own = big.logits(whole.batch).float()
        was = torch.cat([view.logits for view in past if len(view.lengths)])
    moved = Pass(whole.batch, lambda: _moved(own, was, whole.logits), _hidden)
    counts = [len(view.lengths) for view in past]
    return sides(moved, counts), sides(Pass(whole.batch, lambda: own, _hidden), counts)


def _moved(own: Float[Tensor, "*N V"], was: Float[Tensor, "*N W"], now: Float[Tensor, "*N W"]) -> Float[Tensor, "*N V"]:
    """z_big + (z_small' - z_small); models of one family may have rows of their own behind the tokens that all have."""
    width = min(own.shape[-1], was.shape[-1])
    return torch.cat([own[..., :width] + (now - was)[..., :width], own[..., width:]], -1)


def _hidden(_layer: float) -> NoReturn:
    raise AssertionError("an objective that reads hidden states must declare the need for it")
