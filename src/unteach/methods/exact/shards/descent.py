"""Steps of AdamW from a state of its own, for what is trained once and never gone on with."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn

from unteach.schema import InputError

Pull = Callable[[], None]  # leaves the gradients of a step behind


def descend(parameters: Mapping[str, nn.Parameter], steps: Iterable[tuple[float, Pull]], *, clip: float) -> None:
    """Take each step at its own rate; gradients are shortened to the length of `clip`."""
    chosen = [parameter for _, parameter in sorted(parameters.items())]
    optimiser = torch.optim.AdamW(chosen, weight_decay=0.0, foreach=False)
    for rate, pull in steps:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad()
        pull()
        if not torch.isfinite(nn.utils.clip_grad_norm_(chosen, clip, foreach=False)):
            raise InputError("the loss became infinite; lower --lr")
        optimiser.step()
