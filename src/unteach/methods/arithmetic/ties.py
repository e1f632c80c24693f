"""TIES: task vectors of parts of the forget rows, merged without those entries that work against each other."""

from dataclasses import dataclass, field
from typing import ClassVar

from unteach.edit.arithmetic import merged
from unteach.edit.edit import Edit
from unteach.edit.merging import TrimElect
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.arithmetic.vectors import refuse, vectors, watched
from unteach.registry import method
from unteach.schema import Need, Request


@method("ties", tested_by="test_ties_is_the_obvious_way_entry_by_entry")
@dataclass(frozen=True)
class TIES:
    """The weights less `alpha` times the task vectors of parts of the forget rows, trimmed and merged by sign.

        W' = W - alpha * m,    m = mean of those trimmed tau_p that have the sign of (tau_1 + ... + tau_P), entry by entry

    Each task vector keeps the share `density` of its entries that is largest, over all its weights together. Where the
    trimmed ones add up to 0 nothing moves. Yadav et al. 2023, arXiv:2306.01708, who add m; here each tau is what is to go
    (Ilharco et al. 2022, arXiv:2212.04089). The forget rows are split into `parts` by a hash of their ids; 0 makes a part
    of each subject. Edits that are at hand already are merged by `unteach.edit.arithmetic.merged`.

    Needs forget rows. What is trimmed is not forgotten: with one part this is a task vector of which most is left out.
    The result is not low-rank, also where adapters were trained, and takes 8 bytes of memory for each weight and part.
    It looks at nothing that should stay.

    Example: ``TIES(density=0.5)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    makes_adapter: ClassVar[bool] = False
    alpha: float = 5.0
    density: float = 0.2
    parts: int = 2
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        refuse(self.alpha, self.parts)
        TrimElect(self.density)  # refuses what is no share

    def __call__(self, lm: LM, request: Request) -> Edit:
        taus = vectors(lm, request, self.parts, self.plan)
        about = f"ties(alpha={self.alpha:g}, density={self.density:g}, parts={self.parts}, {self.plan})"
        edit = merged(taus, lm, TrimElect(self.density), alpha=-self.alpha, made_by=about)
        return watched(lm, request, edit, request.forget, self.plan)
