"""Steps of AdamW, each at a rate of its own, and the loss that shards are taught with."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import nn

from unteach.lm.model import LM
from unteach.schema import InputError, Record

Pull = Callable[[], None]  # leaves the gradients of a step behind
AT_ONCE = 32  # rows in one pass; the rest of a step follows, in order


def descend(
    parameters: Mapping[str, nn.Parameter], steps: Iterable[tuple[float, Pull]], *, clip: float,
    optimiser: torch.optim.AdamW | None = None,
) -> None:  # fmt: skip
    """Take each step at its own rate, from nothing or from an optimiser's state; gradients are shortened to `clip`."""
    stepping = optimiser or adamw(parameters)
    chosen = stepping.param_groups[0]["params"]
    for rate, pull in steps:
        stepping.param_groups[0]["lr"] = rate
        stepping.zero_grad()
        pull()
        if not torch.isfinite(nn.utils.clip_grad_norm_(chosen, clip, foreach=False)):
            raise InputError("the loss became infinite; lower --lr")
        stepping.step()


def adamw(parameters: Mapping[str, nn.Parameter], weight_decay: float = 0.0) -> torch.optim.AdamW:
    """AdamW on parameters in the order of their names."""
    return torch.optim.AdamW([p for _, p in sorted(parameters.items())], weight_decay=weight_decay, foreach=False)


def pull(lm: LM, records: Sequence[Record], of: int) -> None:
    """The gradient of the sum over records of the mean negative log-probability of their tokens, divided by `of`."""
    for at in range(0, len(records), AT_ONCE):
        batch = lm.batch(records[at : at + AT_ONCE])
        lost = -lm.run(batch).token_logps
        each = torch.zeros(len(batch.lengths), dtype=lost.dtype, device=lost.device).index_add(0, batch.rows, lost)
        torch.autograd.backward((each / batch.lengths.clamp(min=1)).sum() / of)
