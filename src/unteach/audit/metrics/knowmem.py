"""Knowledge memorisation, as MUSE measures it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.rouge import rouge_l
from unteach.audit.scoring import KNOWLEDGE, Directions, mean_score, nothing
from unteach.lm.model import LM
from unteach.lm.reworded import reworded
from unteach.registry import metric
from unteach.schema import InputError, Need, Record, Score, record_id

END = re.compile(r"\n\s*\n|Question:")  # what ends an answer: the model goes on with a question of its own


@metric("knowmem", tested_by="test_knowmem_shows_examples_of_other_subjects_and_cuts_the_answer")
@dataclass(frozen=True)
class KnowMem:
    """How much of the recorded answer comes back when examples show the model how to answer.

    Mean over rows of the ROUGE-L F1 of the greedy answer (`max_new` tokens, cut at the first blank line or at
    "Question:") behind `shots` other questions with their answers, written "Question: ... Answer: ...", against the
    recorded one; 0 to 1 (MUSE prints it times 100). Shi et al. 2024, arXiv:2407.06460. The examples are rows of the
    retain and holdout sets in an order that depends on their own content alone, never rows of the asked set, nor such
    of the asked row's subject; as many as the model has room for. With a chat template they stand in the user's turn.

    The goal on the forget set is what a model never trained on it scores. It does not show why
    an answer is missing: gibberish, silence and refusals score 0, and a leak in other words scores low. Read it with
    `perplexity` and `refusalrate` on what should stay.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"continuations"})
    directions: ClassVar[Directions] = KNOWLEDGE
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("verbmem", "rougel", "probability", "perplexity", "refusalrate")
    shots: int = 10
    max_new: int = 32

    def __post_init__(self) -> None:
        for name, value, what in (("shots", self.shots, "examples"), ("max_new", self.max_new, "tokens")):
            if value < 1:
                raise InputError(f"option '{name}' of knowmem is {value}; it is a number of {what}, at least 1")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        asked = {_key(r) for r in evidence.sets[set_name]}
        sets = [s for role in ("retain", "holdout") for s in evidence.of_role(role) if s != set_name]
        rows = {_key(r): r for s in sets for r in evidence.sets[s] if r.prompt and r.answer and _key(r) not in asked}
        if not rows:
            return nothing(self, evidence, set_name, "no other retain or holdout rows to take examples from")
        behind = _Behind(tuple(rows[key] for key in sorted(rows)), self.shots)
        found = evidence.measured(set_name, behind, self.max_new)
        note = f"shots = {min(self.shots, len(rows))}; at most {self.max_new} tokens"
        why = "no question, no word in the answer, or no example of another subject"
        return mean_score(self, evidence, set_name, found, why_none=why, note=note)


@dataclass(frozen=True)
class _Behind:
    """ROUGE-L F1 of the greedy answers behind examples, taken in this order."""

    examples: tuple[Record, ...]
    shots: int

    def __call__(self, lm: LM, records: Sequence[Record], max_new: int) -> list[float | None]:
        asked = {i: row for i, r in enumerate(records) if r.prompt and (row := self._row(lm, r, max_new))}
        texts = dict(zip(asked, lm.generate(list(asked.values()), max_new), strict=True))
        found = {i: rouge_l(records[i].answer, END.split(text.lstrip(), maxsplit=1)[0]) for i, text in texts.items()}
        return [rouge.f1 if (rouge := found.get(i)) else None for i in range(len(records))]

    def _row(self, lm: LM, record: Record, max_new: int) -> Record | None:
        """The question behind as many examples as the model has room for; None where there is no example at all."""
        others = [e for e in self.examples if not e.subject or e.subject != record.subject][: self.shots]
        rows = (_behind(others[:count], record) for count in range(len(others), 0, -1))
        fits = (r for r in rows if len(lm.encoder.prompt(r.prompt, r.messages)) + max_new <= lm.max_length)
        return next(fits, _behind([], record) if others else None)


def _key(record: Record) -> str:
    return record_id(record.prompt, record.answer, record.messages)


def _behind(examples: Sequence[Record], record: Record) -> Record:
    shown = [f"Question: {e.prompt}\nAnswer: {e.answer}" for e in examples]
    text = "\n\n".join([*shown, f"Question: {record.prompt}\nAnswer:"])
    return reworded(record, text)
