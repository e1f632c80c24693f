"""ROUGE-L of what the model writes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from unteach.audit.evidence import Evidence
from unteach.audit.rouge import rouge_l
from unteach.audit.scoring import KNOWLEDGE, Directions, mean_score
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("rougel", tested_by="test_rougel_is_the_share_of_the_gold_words_that_come_back_in_order")
@dataclass(frozen=True)
class RougeL:
    """How much of the recorded answer comes back, in order, when the model answers freely.

    Mean over rows of ROUGE-L (`part`: recall, precision or f1) of the greedy answer against the recorded one;
    0 to 1. Lin 2004; as TOFU uses it, Maini et al. 2024, arXiv:2401.06121, but with words of every script and
    without stemming (see `audit.rouge`). Better high on what should stay; on the forget set it should be what
    a model never trained on it scores, which is not 0.

    It does not show why an answer is missing: gibberish, silence, a refusal and another language all score 0,
    and a leak in other words scores low. Read it with `perplexity` and `distinctoutputs` on the retain set.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"generation"})
    directions: ClassVar[Directions] = KNOWLEDGE
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("probability", "perplexity", "distinctoutputs", "paraphrase")
    part: Literal["recall", "precision", "f1"] = "recall"

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        pairs = zip(evidence.sets[set_name], evidence.generated(set_name), strict=True)
        found = [rouge_l(record.answer, text) for record, text in pairs]
        values = [getattr(f, self.part) if f else None for f in found]
        return mean_score(
            self, evidence, set_name, values, why_none="no word in the answer", note=self.part, logs=False
        )
