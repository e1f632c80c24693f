"""ROUGE-L when the question is put in other words."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.rouge import rouge_l
from unteach.audit.scoring import KNOWLEDGE, Directions, mean_score
from unteach.registry import metric
from unteach.schema import Need, Score


@metric("paraphrase", tested_by="test_paraphrase_takes_the_wording_that_says_most_on_forget_and_least_on_retain")
@dataclass(frozen=True)
class Paraphrase:
    """How much of the recorded answer comes back when the question is put in other words.

    Mean over rows of the ROUGE-L recall of the greedy answer to the worst of the row's other wordings: the one
    that says most of the answer on the forget and holdout sets, least on what should stay; 0 to 1. Rows
    without another wording are left out. The mean over wordings is in the note.

    It does not show what wordings that were not tried bring back, in another language or after a jailbreak.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"generation", "paraphrases"})
    directions: ClassVar[Directions] = KNOWLEDGE
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("rougel", "perplexity")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        keeps = evidence.roles[set_name] in ("retain", "general")
        worst: list[float | None] = []
        every: list[float] = []
        for record, texts in zip(evidence.sets[set_name], evidence.paraphrased(set_name), strict=True):
            found = [rouge.recall for text in texts if (rouge := rouge_l(record.answer, text))]
            worst.append((min if keeps else max)(found) if found else None)
            every += found
        note = f"worst of {len(every)} wordings; over all of them {sum(every) / len(every):.3f}" if every else ""
        return mean_score(self, evidence, set_name, worst, why_none="no other wording", note=note, logs=False)
