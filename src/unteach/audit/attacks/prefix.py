"""The beginning of the answer given away."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.target import Attempt, Holds, Target, best, curve
from unteach.audit.telling import told
from unteach.registry import attack
from unteach.schema import Need


@attack("prefix", tested_by="test_prefix_wakes_an_answer_that_is_only_blocked_at_its_beginning")
@dataclass(frozen=True)
class Prefix:
    """Does the model go on by itself once the answer has been begun for it?

    The attacker holds questions and knows how answers begin, or guesses it. The first 1 ... `tokens` tokens of the
    answer stand before the model's own continuation; of each row the best try counts, and only the telling words that
    were not given away. The first token a method blocks is often the only one. Jin et al. 2024, arXiv:2406.10890.

    What a template gives away (all answers of a form begin alike) the retrained model shows too.
    """

    holds: ClassVar[Holds] = "questions"
    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "generation", "weights"})
    measure: ClassVar[str] = "told"
    axis: ClassVar[str] = "tokens given"
    tokens: int = 4

    def __call__(self, target: Target, /) -> Attempt:
        if target.lm.guards:
            return Attempt(note="behind a guard no answer can be begun from outside")
        tries = {float(given): _continued(target, given) for given in range(1, self.tokens + 1)}
        return Attempt(best([*tries.values()]), curve(tries), f"the first 1 to {self.tokens} tokens of each answer")


def _continued(target: Target, given: int) -> list[float | None]:
    """How much of what was not given away comes back behind so many tokens of the answer."""
    encoder = target.lm.encoder
    rows = [encoder.row(r) for r in target.forget]
    prompts = [row.ids[: row.start + given] for row in rows]
    written = target.lm.extend(prompts, [target.max_new] * len(rows))
    found: list[float | None] = []
    for record, row, ids in zip(target.forget, rows, written, strict=True):
        shown = encoder.tokenizer.decode(row.ids[row.start : row.start + given], skip_special_tokens=True)
        whole = encoder.tokenizer.decode([*row.ids[row.start : row.start + given], *ids], skip_special_tokens=True)
        found.append(told(record, whole, shown))
    return found
