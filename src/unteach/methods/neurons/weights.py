"""Which weights are acted on, and what they were before any training."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from unteach.edit.plan import Plan, draw
from unteach.lm.anatomy import anatomy, stored_in_out
from unteach.lm.model import LM


def whole(plan: Plan) -> Plan:
    """The plan, for all weights where it would train an adapter."""
    return replace(plan, tune="full") if plan.lora else plan


def maps(lm: LM) -> list[str]:
    """The names of the weights of all linear maps inside the blocks."""
    start = f"{anatomy(lm.model).blocks}."
    return [n for n, p in lm.parameters().items() if n.startswith(start) and p.ndim == 2]


def started(lm: LM, names: Iterable[str], seed: int) -> dict[str, Tensor]:
    """Start values of weights: matrices normal with the configuration's `initializer_range`, biases 0, norms as new."""
    found = lm.parameters()
    return {name: _started(lm, name, found[name], seed) for name in names}


def _started(lm: LM, name: str, weight: Tensor, seed: int) -> Tensor:
    if weight.ndim > 1:
        generator = torch.Generator().manual_seed(draw(seed, "start", name) % 2**63)
        spread = float(lm.model.config.initializer_range)
        return (torch.randn(weight.shape, generator=generator) * spread).to(weight.device, weight.dtype)
    path, _, part = name.rpartition(".")
    module = lm.model.get_submodule(path)
    if isinstance(module, nn.Linear) or stored_in_out(module):
        return torch.zeros_like(weight)
    new: Tensor = getattr(type(module)(len(weight)), part)  # some norms begin at 1, others at 0
    return new.detach().to(weight.device, weight.dtype)
