"""Neurons that are silenced where they would be read: at the linear map that they enter."""

from collections.abc import Mapping

from jaxtyping import Bool
from torch import Tensor

from unteach.edit.patches import Scale
from unteach.lm.anatomy import stored_in_out
from unteach.lm.model import LM
from unteach.schema import InputError


def silenced(lm: LM, neurons: Mapping[str, Bool[Tensor, " I"]]) -> dict[str, tuple[Scale, ...]]:
    """Zeros for all weights out of the marked neurons; the maps that they enter are named by their paths.

    To the model it is as if these neurons were 0: what a neuron gives is its activation times these weights.
    """
    found: dict[str, tuple[Scale, ...]] = {}
    for path, marked in neurons.items():
        module = lm.model.get_submodule(path)
        if hasattr(module, "base_layer"):
            raise InputError(
                "a neuron cannot be silenced under an adapter, which reads it too; merge the adapter first"
            )
        if marked.any():
            by = (~marked).float()
            found[f"{path}.weight"] = (Scale(by[:, None] if stored_in_out(module) else by),)
    return found
