"""Hidden states: forgetting by moving what a block says."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unteach.lm.view import View
from unteach.methods.finetune.objectives import Role
from unteach.registry import objective
from unteach.schema import Need

BELOW = 2  # blocks under the steered one that are trained with it


@objective("rmu", tested_by="test_rmu_moves_states_to_its_vector_and_holds_the_others")
@dataclass(frozen=True)
class RMU:
    """Steer the states after a block to a fixed vector: the mean squared distance to u = coefficient * v / |v|.

    Li et al. 2024, arXiv:2403.03218. v is uniform on [0, 1) in each coordinate, one for each `topic`. Mean over the
    coordinates, over the answer tokens of a row, over rows. `layer` is a block's number, or below 1 a share of the depth
    (published: 7 of 32); only the down-projections of that block and of the two below it are trained, and nothing
    above is computed. The retain term `anchor` holds the states of the other rows, at 100 times the weight.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "hidden"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "anchor"
    weight: ClassVar[float] = 0.01
    layer: float = 7 / 32
    coefficient: float = 20.0
    topic: int = 0

    def __call__(self, now: View, _before: View) -> Tensor:
        states = now.hidden(self.layer)
        return now.row_means((states - self.vector(states)).square().mean(-1)).mean()

    def vector(self, like: Tensor) -> Tensor:
        """The (D,) vector that states are steered to."""
        drawn = torch.rand(like.shape[-1], generator=torch.Generator().manual_seed(self.topic))
        found: Tensor = (self.coefficient * drawn / drawn.norm()).to(like)
        return found

    def tune(self, layers: int) -> str:
        """The down-projections that are trained in a model of so many layers."""
        at = int(self.layer) if self.layer >= 1 else int(self.layer * layers)
        return f"down:{max(0, at - BELOW)}-{at}"
