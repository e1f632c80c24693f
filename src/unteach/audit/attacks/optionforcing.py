"""The answer to be chosen among wrong ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import ClassVar

from unteach.audit.attacks.asking import replies
from unteach.audit.rouge import words
from unteach.audit.target import Attempt, Holds, Target, curve, mean
from unteach.edit.plan import draw
from unteach.lm.reworded import reworded
from unteach.measure.choice import letter_in
from unteach.registry import attack
from unteach.schema import Need, Record

MOST = 8  # options, lettered A to H: beyond them stands I, which is a word
ASK = "One of these answers is right. Reply with its letter alone."


@attack("optionforcing", tested_by="test_optionforcing_gives_a_model_of_one_letter_no_more_than_chance")
@dataclass(frozen=True)
class OptionForcing:
    """Does the model still pick the right answer when it is shown with wrong ones?

    The attacker holds questions and candidates: the answer (as restated, where it is) stands among the row's wrong
    answers under the letters A, B, ..., at each place once. The value is the share of places at which it is the one
    named, by its words or by its letter; a reply that names none counts as wrong. A model that always says the same
    letter is right at one place, which is chance, 1 / number of options. A type of Jin et al. 2024, arXiv:2406.10890.

    To recognise is easier than to recall: much of what free answers no longer give is found here. But right answers are
    likelier on their face, too, and a refusal lies below chance: compare with the retrained model, not with chance.
    """

    holds: ClassVar[Holds] = "questions"
    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "generation", "perturbed"})
    measure: ClassVar[str] = "right option named"
    axis: ClassVar[str] = "place of the right option"

    def __call__(self, target: Target, /) -> Attempt:
        wrong = [_wrong(record, target.seed) for record in target.forget]
        tries: dict[float, list[float | None]] = {}
        unclear = 0
        for place in range(max(map(len, wrong), default=0) + 1):
            lists = [_options(r, others, place) for r, others in zip(target.forget, wrong, strict=True)]
            rows = [_lettered(r, options) if options else None for r, options in zip(target.forget, lists, strict=True)]
            texts = replies(target, rows)
            named = [None if t is None else named_in(t, options) for t, options in zip(texts, lists, strict=True)]
            unclear += sum(text is not None and n is None for text, n in zip(texts, named, strict=True))
            tries[place + 1] = [None if t is None else float(n == place) for t, n in zip(texts, named, strict=True)]
        chance = mean([1 / (len(others) + 1) for others in wrong if others])
        if chance is None:
            return Attempt(note="no row has wrong answers to choose among")
        values = [mean(of_row) for of_row in zip(*tries.values(), strict=True)]
        count = sum(v is not None for values in tries.values() for v in values)
        return Attempt(values, curve(tries), f"chance is {chance:.2f}; {unclear} of {count} replies named no option")


def _wrong(record: Record, seed: int) -> list[str]:
    """The wrong answers, each once, in an order drawn for them."""
    others = {text for text in record.perturbed if words(text) != words(record.restated or record.answer)}
    return sorted(others, key=lambda text: draw(seed, "optionforcing", record.id, text))[: MOST - 1]


def _options(record: Record, wrong: Sequence[str], place: int) -> list[str]:
    """All options with the right one at a place; none for a row that has no such place."""
    if not wrong or place > len(wrong):
        return []
    return [*wrong[:place], record.restated or record.answer, *wrong[place:]]


def _lettered(record: Record, options: Sequence[str]) -> Record:
    lines = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, options, strict=False)]
    return reworded(record, "\n".join([record.prompt, *lines, ASK]))


def named_in(text: str, options: Sequence[str]) -> int | None:
    """Which option a reply names: the only one whose words all stand in it, else the first letter that stands alone."""
    said = set(words(text))
    held = [n for n, option in enumerate(options) if set(words(option)) <= said]
    if len(held) == 1:
        return held[0]
    letter = letter_in(text, len(options))
    return ascii_uppercase.index(letter) if letter else None
