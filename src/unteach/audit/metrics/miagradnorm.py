"""Membership inference from the gradient."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.membership import membership
from unteach.audit.scoring import Directions
from unteach.measure.gradient import gradient_norm
from unteach.registry import metric
from unteach.schema import InputError, Need, Score


@metric("miagradnorm", tested_by="test_miagradnorm_is_the_mean_norm_of_the_gradient_and_leaves_none_behind")
@dataclass(frozen=True)
class MIAGradNorm:
    """How well an attacker who holds the weights tells the rows from unseen ones by their gradients.

    AUC as in `mialoss`, of the mean over weight tensors of the `p`-norm of the gradient of the row's loss; 0 to 1,
    with 0.5 no better than a coin. Wang et al. 2024, arXiv:2402.17012. A row that was learned has little left to
    teach. One backward pass a row, in evaluation mode; where an edit is a low-rank term, the gradient is that of
    the weights under it.

    The goal is the retrained model's value. Ascent leaves steep gradients on the very rows: far below 0.5 is a
    trace too. A destroyed model scores about 0.5.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "holdout", "gradients"})
    directions: ClassVar[Directions] = {"forget": "target"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("mialoss", "perplexity", "modelutility")
    p: float = 2.0

    def __post_init__(self) -> None:
        if self.p < 1:
            raise InputError(f"option 'p' of miagradnorm is {self.p}; it is the order of a norm, at least 1")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        def statistic(s: str) -> tuple[float | None, ...]:
            return evidence.measured(s, gradient_norm, self.p)

        return membership(self, evidence, set_name, statistic, note=f"{self.p:g}-norm")
