"""The same in double precision: what two ways still differ by there is not rounding."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from unteach.lm.model import LM


@contextmanager
def doubled(*models: LM) -> Iterator[None]:
    """Models compute in float64, everything that is new is float64, and so is what asks for float32.

    Transformers asks for it within norms, attention and rotary embeddings, whatever a model's own precision is.
    """
    for lm in models:
        lm.model.double()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Wide():
            yield
    finally:
        torch.set_default_dtype(before)
        for lm in models:
            lm.model.float()


class _Wide(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        wide = torch.Tensor.double if func is torch.Tensor.float else func
        return wide(*map(_wider, args), **{name: _wider(value) for name, value in (kwargs or {}).items()})


def _wider(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value
