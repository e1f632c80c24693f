"""What a linear map is looked up with: the states of subjects' last tokens, behind each context."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.lm.batch import Batch, Row, collate
from unteach.lm.model import LM
from unteach.methods.facts.spot import Spot


@torch.no_grad()
def states_at(
    lm: LM, spots: Sequence[Spot], path: str, weights: Mapping[str, Tensor] | None = None
) -> Float[Tensor, "B D"]:
    """What the module at a path puts out at each row's spot; nothing after the spots, or behind the module, is run."""
    batch, order = _until(lm, spots)
    return _picked(lm.outputs(batch, path, weights), batch, spots, order)


@torch.no_grad()
def keys_at(
    lm: LM, spots: Sequence[Spot], path: str, weights: Mapping[str, Tensor] | None = None
) -> Float[Tensor, "B D"]:
    """What goes into the module at a path at each row's spot."""
    batch, order = _until(lm, spots)
    return _picked(lm.inputs(batch, [path], weights)[0], batch, spots, order)


def _until(lm: LM, spots: Sequence[Spot]) -> tuple[Batch, list[int]]:
    """The rows up to their spots, in an order in which those that begin alike are neighbours."""
    rows = [Row(s.row.ids[: s.at + 1], s.at + 1) for s in spots]
    order = sorted(range(len(rows)), key=lambda n: rows[n].ids)
    batch = collate([rows[n] for n in order], [""] * len(rows), pad=lm.pad, device=lm.device, share=True)
    return batch, order


def _picked(states: Float[Tensor, "R D"], batch: Batch, spots: Sequence[Spot], order: Sequence[int]) -> Tensor:
    at = torch.tensor([spots[n].at for n in order], device=states.device)
    found = states.index_select(0, batch.sources.gather(1, at[:, None])[:, 0])
    back = torch.tensor(order, device=states.device).argsort()
    return found.index_select(0, back)
