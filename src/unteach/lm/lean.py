"""The same with less work: modules that do something else for a while."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.linalg import vector_norm
from torch.nn.functional import gelu
from transformers.activations import NewGELUActivation

from unteach.lm.anatomy import anatomy, blocks, trunk

Instead = tuple[Any, Callable[..., Tensor]]  # a module, and what it does


def gelus(model: Any, layer: int = 0) -> list[Instead]:
    """From a block on GELU as one operation, where Transformers has it in eight."""
    mlp = anatomy(model).mlp_out.rpartition(".")[0]
    parts = [part for block in list(blocks(model))[layer:] for part in block.get_submodule(mlp).children()]
    return [(part, partial(gelu, approximate="tanh")) for part in parts if isinstance(part, NewGELUActivation)]


def norms(model: Any) -> list[Instead]:
    """Norms by the root of the mean square in half as many operations, forward and back, as Transformers has them in."""
    kind = [
        m for m in trunk(model).modules() if type(m).__name__.endswith("RMSNorm") and hasattr(m, "variance_epsilon")
    ]
    return [(m, partial(_normed, m)) for m in kind if m.weight.dtype == torch.float32 and here(m)]


def here(module: Any) -> bool:
    """Whether a module's own weights are where it runs, and not fetched for each call, as Accelerate does it."""
    return not hasattr(module, "_hf_hook")


def _normed(norm: Any, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
    found: Tensor = _Normed.apply(x, norm.weight, norm.variance_epsilon)  # type: ignore[no-untyped-call]
    return found


class _Normed(torch.autograd.Function):
    """y = w n with n = r x and r = (mean x^2 + eps)^-1/2, so that dx = r (w dy - n mean(n w dy)) and dw = sum n dy."""

    @staticmethod
    def forward(ctx: Any, x: Float[Tensor, "*N D"], weight: Float[Tensor, " D"], eps: float) -> Float[Tensor, "*N D"]:
        r = vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        n: Tensor = x * r
        ctx.save_for_backward(n, r, weight)
        return n * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "*N D"]) -> tuple[Tensor, Tensor | None, None]:
        n, r, weight = ctx.saved_tensors
        along = grad * n
        mean = (along @ weight).div_(len(weight))[..., None]
        back: Tensor = torch.addcmul(grad * weight, n, mean, value=-1)
        return back.mul_(r), along.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None, None


def at_places(model: Any, layer: int, places: Int[Tensor, " P"]) -> list[Instead]:
    """What stands behind attention in a block, at some of the B * S places of its states, no two alike, and 0 elsewhere."""
    where, block = anatomy(model), blocks(model)[layer]
    halves = [block.get_submodule(path) for path in (where.attn_out, where.mlp_out.rpartition(".")[0])]
    return [(half, partial(_only, half.forward, places)) for half in halves]


def _only(whole: Callable[[Tensor], Tensor], places: Tensor, states: Float[Tensor, "B S I"]) -> Float[Tensor, "B S O"]:
    found = whole(states.flatten(0, 1).index_select(0, places))
    every = found.new_zeros(states.shape[0] * states.shape[1], found.shape[-1]).index_copy(0, places, found)
    return every.view(*states.shape[:2], -1)


@contextmanager
def instead(model: Any, lean: Sequence[Instead], *, plain: bool = False) -> Iterator[None]:
    """Modules do something else for a while.

    With `plain` attention writes its weights down, which for many short suffixes is faster than not to.
    """
    attention = model.config._attn_implementation
    own = [vars(module).get("forward") for module, _ in lean]
    try:
        for module, forward in lean:
            module.forward = forward
        if plain and anatomy(model).packs:
            model.config._attn_implementation = "eager"
        yield
    finally:
        model.config._attn_implementation = attention
        for (module, _), before in zip(lean, own, strict=True):
            del module.forward
            if before is not None:
                module.forward = before
