"""Merging: task vectors of parts of the forget rows, averaged."""

from dataclasses import dataclass, field
from typing import ClassVar

from unteach.edit.arithmetic import weighted
from unteach.edit.edit import Edit
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.arithmetic.vectors import refuse, vectors, watched
from unteach.registry import method
from unteach.schema import Need, Request


@method("merge", tested_by="test_merge_takes_off_the_mean_of_the_parts")
@dataclass(frozen=True)
class Merge:
    """The weights less `alpha` times the mean of the task vectors of parts of the forget rows.

        W' = W - alpha / P * (tau_1 + ... + tau_P),    tau_p = W_ft(part p) - W

    Averaging of weights is that of Wortsman et al. 2022, arXiv:2203.05482; negated, each part is a task vector of
    Ilharco et al. 2022, arXiv:2212.04089. The forget rows are split into `parts` by a hash of their ids; 0 makes a part
    of each subject. Adapters add up to one adapter of all their ranks together, which is the exact mean: a mean of the
    factors A and one of the factors B is not. Edits that are at hand already are merged by
    `unteach.edit.arithmetic.weighted`.

    Needs forget rows. Each part is averaged away by the others: what one part alone would forget at some `alpha` takes
    more with many. It looks at nothing that should stay.

    Example: ``Merge(parts=4)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    alpha: float = 5.0
    parts: int = 2
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        refuse(self.alpha, self.parts)

    def __call__(self, lm: LM, request: Request) -> Edit:
        taus = vectors(lm, request, self.parts, self.plan)
        about = f"merge(alpha={self.alpha:g}, parts={self.parts}, {self.plan})"
        edit = weighted(taus, [-self.alpha / len(taus)] * len(taus), lm, made_by=about)
        return watched(lm, request, edit, request.forget, self.plan)
