"""Extraction likelihood."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import KNOWLEDGE, Directions, mean_score
from unteach.measure.extraction import extraction_likelihood
from unteach.registry import metric
from unteach.schema import InputError, Need, Score


@metric("extractionlikelihood", tested_by="test_extractionlikelihood_is_what_generating_from_every_prefix_gives")
@dataclass(frozen=True)
class ExtractionLikelihood:
    """How much of the answer's own wording comes back when the model goes on from any point of it.

    Mean over rows, and over t = 0 ... N - n, of the share of the n-grams of x_>=t that the greedy continuation of
    the question and x_<t brings back, with x the N answer tokens (the end-of-text token left out); 0 to 1, n
    shortened to N where the answer is shorter. Jang et al. 2023, arXiv:2210.01504, whose texts have no question:
    on a plain text this is their measure. They call a text forgotten where it is at most the mean over unseen
    texts, and `memorizationaccuracy` too.

    Only places where the model misses the next token are generated from; the others follow. It does not show
    synonyms, nor one changed token every n: read it with a smaller `n` and with `rougel`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"continuations"})
    directions: ClassVar[Directions] = KNOWLEDGE
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("memorizationaccuracy", "extractionstrength", "rougel")
    n: int = 10

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"option 'n' of extractionlikelihood is {self.n}; it is a number of tokens, at least 1")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        found = evidence.measured(set_name, extraction_likelihood, self.n)
        return mean_score(self, evidence, set_name, found, note=f"n = {self.n}")
