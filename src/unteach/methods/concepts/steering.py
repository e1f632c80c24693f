"""Activation steering: a fixed vector added to what a block puts out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.maps import ActivationMap, Shift, Turn
from unteach.edit.plan import draw
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM
from unteach.measure.residuals import last_states
from unteach.registry import method
from unteach.schema import Need, Record, Request


@method("steering", tested_by="test_steering_moves_the_mean_state_onto_the_other_and_by_nothing_leaves_all")
@dataclass(frozen=True)
class Steering:
    """Add a vector to what block `layer` puts out at every token: h + c v, with c the `coefficient`.

    v is read at the last token of the questions. `direction` means: the mean state of the rows to forget less that of
    the rows to keep. `direction` pca: the first principal component of the differences between a row to forget and one
    to keep, pair by pair, as long as the means lie apart along it. With c = -1 the mean state of what is to be forgotten
    comes to lie where that of what is kept lay (along v); published coefficients lie above that. With `renormalise` each state is brought back to the length it
    had. Turner et al. 2023, arXiv:2308.10248, who take one pair of texts; Zou et al. 2023, arXiv:2310.01405, who take
    many. `layer` is a number from 0 on, below 1 a share of the depth.

    Needs forget and retain rows. It steers every answer, those to keep too, and no more than hides: the weights know
    what they knew, and whoever takes the vector off has it back.

    Example: ``Steering(layer=0.5, coefficient=-2)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    guarantee: ClassVar[str] = "suppression"
    layer: float = 0.5
    coefficient: float = -3.0
    direction: Literal["means", "pca"] = "means"
    renormalise: bool = False
    seed: int = 0

    def __call__(self, lm: LM, request: Request) -> Edit:
        require(request, "steering", "forget", "retain")
        layer = lm.layer(self.layer)
        vector = self.coefficient * self.vector(lm, request, layer)
        change: ActivationMap = Turn(vector) if self.renormalise else Shift(vector)
        path = f"{anatomy(lm.model).blocks}.{layer}"
        return Edit(lm.digest(), activations={path: (change,)}, made_by=f"steering({self}, layer={layer})")

    def vector(self, lm: LM, request: Request, layer: int) -> Float[Tensor, " D"]:
        """What is added, before the coefficient."""
        forget, retain = (self._states(lm, rows, layer) for rows in (request.forget, request.retain))
        apart = forget.mean(0) - retain.mean(0)
        if self.direction == "means":
            return apart
        pairs = max(len(forget), len(retain))
        numbers = torch.arange(pairs)
        differences = forget[numbers % len(forget)] - retain[numbers % len(retain)]
        axis: Tensor = torch.linalg.svd(differences, full_matrices=False).Vh[0]
        return axis * torch.dot(apart, axis)

    def _states(self, lm: LM, rows: Sequence[Record], layer: int) -> Float[Tensor, "n D"]:
        """The states of the questions, in an order of their own."""
        order = sorted(rows, key=lambda r: draw(self.seed, "steering", r.id))
        found: Tensor = last_states(lm, [lm.encoder.row(r).prompt for r in order])[:, layer]
        return found
