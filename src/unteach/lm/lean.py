"""The same with less work: modules that do something else for a while."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn.functional import gelu
from transformers.activations import NewGELUActivation

from unteach.lm.anatomy import anatomy, blocks

Instead = tuple[Any, Callable[..., Tensor]]  # a module, and what it does


def gelus(model: Any, layer: int = 0) -> list[Instead]:
    """From a block on GELU as one operation, where Transformers has it in eight."""
    mlp = anatomy(model).mlp_out.rpartition(".")[0]
    parts = [part for block in list(blocks(model))[layer:] for part in block.get_submodule(mlp).children()]
    return [(part, partial(gelu, approximate="tanh")) for part in parts if isinstance(part, NewGELUActivation)]


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
