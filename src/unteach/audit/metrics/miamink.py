"""Membership inference from the least likely tokens."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.membership import check_share, membership, negative
from unteach.audit.scoring import Directions
from unteach.measure.answers import min_k
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("miamink", tested_by="test_miamink_over_all_tokens_ranks_as_the_loss_without_the_end_token_does")
@dataclass(frozen=True)
class MIAMinK:
    """How well an attacker tells the rows from unseen ones by their least likely tokens.

    AUC as in `mialoss`, of the negative mean of the smallest share `k` of a row's token log-probabilities (at
    least one, the end-of-text token left out); 0 to 1, with 0.5 no better than a coin.
    Shi et al. 2024, arXiv:2310.16789.

    The goal is the retrained model's value; a destroyed model scores 0.5.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "holdout"})
    directions: ClassVar[Directions] = {"forget": "target"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("perplexity", "probability", "modelutility")
    k: float = 0.2

    def __post_init__(self) -> None:
        check_share("miamink", self.k)

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        def statistic(s: str) -> Iterator[float | None]:
            return (negative(min_k(a.words, self.k)) for a in evidence.answers(s))

        return membership(self, evidence, set_name, statistic, note=f"k = {self.k:g}")
