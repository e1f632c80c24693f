"""Reading and replacing what a module puts out, and running a model only as far as it is read."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

CAPTURING = "transformers.utils.output_capturing"  # whose hooks stay where states were asked for once


@dataclass(frozen=True)
class Site:
    """Where a tapped tensor stands: which positions are real, their numbers in the sequence, where prompts end.

    While decoding a tap sees one position (B, 1, D); `positions` still tells which. `entered` (B, T, I) is what the
    module was given.
    """

    mask: Bool[Tensor, "B T"]
    positions: Int[Tensor, "B T"]
    prompt_end: Int[Tensor, " B"]
    phase: Literal["prompt", "decode"] = "prompt"
    entered: Tensor | None = None


Tap = Callable[[Tensor], Tensor | None]


@contextmanager
def tapped(model: nn.Module, path: str, fn: Tap) -> Iterator[None]:
    """Call `fn` on the output of the module at `path`; what it returns (if anything) stands instead.

    Under gradient checkpointing the backward pass runs a module again: `fn` must be a pure function.
    """

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        changed = fn(first)
        if changed is None:
            return None
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = model.get_submodule(path).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class _Reached(Exception):
    """The forward pass has come as far as it is read."""


def run_to(model: nn.Module, path: str, run: Callable[[], object]) -> Tensor:
    """The output of the module at `path` while `run` calls the model; nothing after it is computed."""
    caught: list[Tensor] = []

    def stop(output: Tensor) -> None:
        caught.append(output)
        raise _Reached

    with tapped(model, path, stop), suppress(_Reached):
        run()
    return caught[0]


def run_into(model: nn.Module, paths: Sequence[str], run: Callable[[], object]) -> list[Tensor]:
    """What goes into several modules, in the order in which they run; nothing behind the last of them is computed."""
    caught: list[Tensor] = []

    def read(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught.append(args[0] if args else kwargs["hidden_states"])
        if len(caught) == len(paths):
            raise _Reached

    handles = [model.get_submodule(p).register_forward_pre_hook(read, with_kwargs=True) for p in paths]
    try:
        with suppress(_Reached):
            run()
    finally:
        for handle in handles:
            handle.remove()
    return caught


@dataclass(frozen=True)
class Start:
    """Where a change of a model begins: with a block, or inside it with the last map of its MLP."""

    layer: int = 0
    inside: bool = False


@dataclass(frozen=True, eq=False)
class Enter:
    """Where a forward pass begins: the states (1, R, D) of its rows, packed, as they enter a block.

    Where there are `inner` (1, R, I), those enter the block's module `last`, and `states` are what it adds to.
    """

    layer: int
    states: Tensor
    inner: Tensor | None = None
    last: str = ""


@contextmanager
def entering(blocks: nn.ModuleList, enter: Enter | None) -> Iterator[None]:
    """Skip the blocks below one, and give that one the states that it would have been given."""
    if enter is None:
        yield
        return

    def begin(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        return ((enter.states, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": enter.states})

    handle = blocks[enter.layer].register_forward_pre_hook(begin, with_kwargs=True)
    skipped = list(blocks[: enter.layer + (enter.inner is not None)])
    try:
        for block in skipped:
            block.forward = _as_it_came
        if enter.inner is not None:
            skipped[-1].forward = partial(_as_it_came, last=skipped[-1].get_submodule(enter.last), inner=enter.inner)
        yield
    finally:
        handle.remove()
        for block in skipped:
            del block.forward


def _as_it_came(
    states: Tensor, *_others: Any, last: nn.Module | None = None, inner: Tensor | None = None, **_more: Any
) -> Tensor:  # fmt: skip
    """The states a block was given, and what its last map says over them where it is told what enters that."""
    return states if last is None else states + last(inner)


def watched(module: nn.Module) -> bool:
    """Whether somebody reads or changes what goes through a module, or through a part of it.

    Hooks that Transformers leaves behind read nothing of our passes.
    """
    hooks = (
        h for part in module.modules() for kind in (part._forward_hooks, part._forward_pre_hooks) for h in kind.values()
    )
    return any(getattr(hook, "__module__", "") != CAPTURING for hook in hooks)


def positions_of(real: Tensor) -> Tensor:
    """(B, T) position of each token in its own row, padding on either side left out of the count."""
    return (real.long().cumsum(-1) - 1).clamp_min(0).to(torch.long)
