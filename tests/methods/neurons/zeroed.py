"""What silencing must be equal to: the same neurons' activations set to 0 on their way into their maps."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from unteach.edit.edit import Edit
from unteach.lm.anatomy import stored_in_out
from unteach.lm.model import LM


def marks(lm: LM, edit: Edit) -> dict[str, Tensor]:
    """Which neurons an edit silenced, by the path of their map; it may do nothing else."""
    found = {}
    for name, delta in edit.delta(lm).items():
        path = name.removesuffix(".weight")
        weight = lm.parameters()[name].detach()
        if stored_in_out(lm.model.get_submodule(path)):
            weight, delta = weight.T, delta.T
        silent = (weight + delta == 0).all(0)
        assert bool((delta[:, ~silent] == 0).all())
        found[path] = silent
    return found


@contextmanager
def zeroed(model: nn.Module, neurons: Mapping[str, Tensor]) -> Iterator[None]:
    def zeroing(silent: Tensor) -> Any:
        return lambda _module, args: (args[0].masked_fill(silent, 0.0),)

    with ExitStack() as stack:
        for path, silent in neurons.items():
            stack.callback(model.get_submodule(path).register_forward_pre_hook(zeroing(silent)).remove)
        yield
