"""DARE: task vectors of parts of the forget rows, thinned out at random before they are averaged."""

from dataclasses import dataclass, field
from typing import ClassVar

from unteach.edit.arithmetic import merged
from unteach.edit.edit import Edit
from unteach.edit.merging import DropRescale
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.arithmetic.vectors import refuse, vectors, watched
from unteach.registry import method
from unteach.schema import Need, Request


@method("dare", tested_by="test_what_is_dropped_is_made_up_for_on_average")
@dataclass(frozen=True)
class DARE:
    """The weights less `alpha` times the mean of the task vectors of parts of the forget rows, thinned out at random.

        W' = W - alpha / P * sum_p  M_p * tau_p / (1 - drop),    each entry of M_p is 0 with probability drop, else 1

    On average over draws that is `merge`. Yu et al. 2023, arXiv:2311.03099, who add the sum; here each tau is what is to
    go (Ilharco et al. 2022, arXiv:2212.04089). What is drawn depends on the plan's seed and on what a task vector holds.
    The forget rows are split into `parts` by a hash of their ids; 0 makes a part of each subject. Edits that are at hand
    already are merged by `unteach.edit.arithmetic.merged`.

    Needs forget rows. It was published for fine-tunings that move weights little; where they moved far, few large
    entries do more harm to what should stay than many small ones. The result is not low-rank, also where adapters were
    trained, and takes 8 bytes of memory for each weight and part.

    Example: ``DARE(drop=0.5)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    makes_adapter: ClassVar[bool] = False
    alpha: float = 5.0
    drop: float = 0.9
    parts: int = 2
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        refuse(self.alpha, self.parts)
        DropRescale(self.drop)  # refuses what is no share

    def __call__(self, lm: LM, request: Request) -> Edit:
        taus = vectors(lm, request, self.parts, self.plan)
        rule = DropRescale(self.drop, self.plan.seed)
        about = f"dare(alpha={self.alpha:g}, drop={self.drop:g}, parts={self.parts}, {self.plan})"
        edit = merged(taus, lm, rule, alpha=-self.alpha, made_by=about)
        return watched(lm, request, edit, request.forget, self.plan)
