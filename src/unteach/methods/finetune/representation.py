"""Hidden states: forgetting by moving what a block says."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from unteach.lm.view import View
from unteach.methods.finetune.objectives import Role
from unteach.registry import objective
from unteach.schema import Need

LOWER, UPPER = 9 / 32, 19 / 32  # the tenth and the twentieth of 32 blocks
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
        at = _number(self.layer, layers)
        return f"down:{max(0, at - BELOW)}-{at}"


@objective("rerouting", tested_by="test_rerouting_is_nothing_where_states_are_orthogonal_or_opposite")
@dataclass(frozen=True)
class Rerouting:
    """Turn the states after two blocks away from where they pointed: the mean of ReLU(cos(h, h')).

    Zou et al. 2024, arXiv:2406.04313 (circuit breakers, representation rerouting); h is a state now and h' the same one
    before. Mean over the two blocks, over the answer tokens of a row, over rows. The retain term is `drift`. While the
    share t of the training passes, the forget term counts alpha * (1 - t / 2) and the retain term alpha * t / 2: first all
    for turning away, in the end both alike. Published is alpha = 10 for Llama 3 and 5 for Mistral, and a LoRA adapter of
    rank 16 in the blocks up to the upper one. `lower` and `upper` are blocks' numbers, or below 1 shares of the depth.

    Once a state is orthogonal to what it was its gradient is 0: nothing says where it goes then. What a model says from
    there on is often no language at all, which can be told from a model that never knew.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "hidden"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "drift"
    weight: ClassVar[float] = 1.0
    lower: float = LOWER
    upper: float = UPPER
    alpha: float = 10.0

    def __call__(self, now: View, before: View) -> Tensor:
        alike = [cosine_similarity(now.hidden(n), before.hidden(n).detach(), -1) for n in (self.lower, self.upper)]
        return torch.stack([now.row_means(a.relu()).mean() for a in alike]).mean()

    def factors(self, done: float) -> tuple[float, float]:
        """What the weights of the forget and the retain term are multiplied by when this share of training is done."""
        return self.alpha * (1 - done / 2), self.alpha * done / 2

    def tune(self, layers: int) -> str:
        """The blocks whose adapter is trained in a model of so many layers."""
        return f"lora:0-{max(_number(n, layers) for n in (self.lower, self.upper))}"


@objective("drift", tested_by="test_drift_is_how_far_states_have_come")
@dataclass(frozen=True)
class Drift:
    """Keep the states after two blocks: the mean distance |h - h'| to what they were. The retain term of rerouting.

    Zou et al. 2024, arXiv:2406.04313. Mean over the two blocks, over the answer tokens of a row, over rows. Not squared:
    far from the start it pulls no harder than near it.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "hidden"})
    role: ClassVar[Role] = "retain"
    retain: ClassVar[str] = ""
    weight: ClassVar[float] = 1.0
    lower: float = LOWER
    upper: float = UPPER

    def __call__(self, now: View, before: View) -> Tensor:
        gaps = [now.hidden(n) - before.hidden(n).detach() for n in (self.lower, self.upper)]
        return torch.stack([now.row_means(gap.norm(dim=-1)).mean() for gap in gaps]).mean()


def _number(layer: float, layers: int) -> int:
    """The number of a block, given by itself or below 1 as a share of the depth."""
    return int(layer) if layer >= 1 else int(layer * layers)
