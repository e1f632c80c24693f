"""The share of distinct outputs."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import Directions, mean_score
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("distinctoutputs", tested_by="test_distinctoutputs_falls_to_one_in_n_for_a_canned_reply")
@dataclass(frozen=True)
class DistinctOutputs:
    """How many different answers the model gives to different questions.

    Number of distinct greedy answers / number of rows; above 0, to 1. A row's own value is 1 / (number of rows
    with the same answer), so that their mean is the share. Better high on what should stay: a model that
    refuses everything, falls silent or repeats one phrase scores 1/n.

    It does not show whether the answers are right, and questions that share an answer lower it: compare it
    with the model as it was.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"generation"})
    directions: ClassVar[Directions] = {"forget": "target", "retain": "up", "general": "up"}
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("rougel", "perplexity")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        texts = [text.strip() for text in evidence.generated(set_name)]
        same = Counter(texts)
        return mean_score(self, evidence, set_name, [1 / same[t] for t in texts], logs=False)
