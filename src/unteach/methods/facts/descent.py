"""Fine-tuning of the last linear map of one layer's MLP, until the model gives new answers.

What goes into that map stays as it was, and so does all that it is added to. Only the blocks behind it are run at each
step, and the output head where an answer is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from unteach.edit.patches import Patch
from unteach.edit.plan import DOWN, Plan
from unteach.edit.trainable import trainable
from unteach.lm.anatomy import anatomy, head
from unteach.lm.batch import Batch, Row, collate
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.lm.suffix import Onward, Suffixes, reach
from unteach.lm.trace import Start
from unteach.schema import InputError

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Descent:
    """At most so many `steps` of Adam at this `rate`, until the loss is below `enough`."""

    steps: int = 25
    rate: float = 1e-3
    enough: float = 1e-2

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.rate > 0:
            raise InputError("a fact is learnt in at least one step, with a rate above 0")


@dataclass(frozen=True)
class Aim:
    """A row, and the tokens that are wanted: each of `ids` behind as many tokens of the row's answer as `behind` says."""

    row: Row
    behind: tuple[int, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Side:
    """Rows side by side: at `place` among the tokens whose `logits` are read, `ids` are wanted, each with its `share`."""

    logits: Callable[[], Tensor]
    place: Int[Tensor, " M"]
    ids: Int[Tensor, " M"]
    share: Float[Tensor, " M"]


def descended(
    lm: LM, aims: Sequence[Aim], layer: int, how: Descent, bound: float = 0.0
) -> dict[str, tuple[Patch, ...]]:  # fmt: skip
    """What the weight and the bias come to be; none of their numbers moves by more than `bound`, if that is above 0.

    The loss is the mean over facts of the mean of -log p over the tokens that are wanted of each.
    """
    with lm.lock, trainable(lm, Plan(tune=f"{DOWN}{layer}")) as parts:
        parameters = list(parts.parameters.values())
        limits = [(p.detach() - bound, p.detach() + bound) for p in parameters] if bound else []
        sides = [_laid(lm, aims[i : i + ROWS_AT_ONCE], layer, len(aims)) for i in range(0, len(aims), ROWS_AT_ONCE)]
        adam = torch.optim.Adam(parameters, lr=how.rate, fused=True)
        for _ in range(how.steps):
            adam.zero_grad()
            loss = sum(map(_pulled, sides))
            if not isfinite(loss):
                raise InputError("the loss became infinite; lower --rate")
            if loss < how.enough:
                break
            adam.step()
            with torch.no_grad():
                for parameter, (least, most) in zip(parameters, limits, strict=False):
                    parameter.clamp_(least, most)
        return parts.patches()


def _pulled(side: _Side) -> float:
    """The loss; its gradient is added to what is in training."""
    logits = side.logits()
    logps = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    loss = -(logps[side.place, side.ids] * side.share).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


def _laid(lm: LM, aims: Sequence[Aim], layer: int, facts: int) -> _Side:
    """Rows up to the last token that is read: what stands behind it is only wanted."""
    batch = collate([aim.row for aim in aims], [""] * len(aims), pad=lm.pad, device=lm.device)
    read = pad(batch.real[:, 1:], (0, 1))
    batch = replace(batch, real=read, owned=read)
    wanted = [
        (first + behind, token, 1 / (len(aim.ids) * facts))
        for first, aim in zip(batch.offsets, aims, strict=False)
        for behind, token in zip(aim.behind, aim.ids, strict=True)
    ]
    place, ids, share = (torch.tensor(column, device=lm.device) for column in zip(*wanted, strict=True))
    return _Side(_saying(lm, batch, layer), place, ids, share)


@torch.no_grad()
def _saying(lm: LM, batch: Batch, layer: int) -> Callable[[], Float[Tensor, "N V"]]:
    """What a step computes: from behind the layer where what its MLP says is added to the stream as it is, else from the
    layer on. Where rows cannot be packed now it begins with the first block.
    """
    behind = anatomy(lm.model).sums and layer + 1 < lm.layers and batch.ids.shape[1] <= reach(lm)
    begun = lm.enter(batch, Start(layer, inside=behind))
    if begun is None or begun.inner is None:
        return lambda: lm.run(batch, enter=begun).logits
    module = lm.model.get_submodule(mlp_out(lm, layer))
    rest, keys = (side[0][batch.sources] for side in (begun.states, begun.inner))
    rows = Suffixes(layer + 1, rest, torch.zeros_like(batch.ids[:, 0]), batch.real, ())
    row, place = batch.answer.nonzero(as_tuple=True)
    onward = Onward(lm, rows, row, place - 1)
    return lambda: head(lm.model, onward(rest + module(keys)))
