"""Questions with lettered options: which letter a model finds likeliest, how likely the right one is, which it names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import exp
from string import ascii_uppercase as LETTERS

from unteach.lm.model import LM
from unteach.lm.reworded import reworded
from unteach.measure.answers import Answer, ask
from unteach.schema import Record, record_id

TIE = 1e-6  # nats; less is rounding
_OPTION = re.compile(r"(?:^[ \t]*\(?|\()([A-Z])[.):][ \t]+\S", re.MULTILINE)


def lettered(record: Record) -> Record | None:
    """The question with its options listed as A, B, ...; the answer is the right letter, `perturbed` the others.

    The options are the record's answer and its wrong ones, each once, in an order drawn from the record's content, so
    that the right one stands under no letter more often. None where there are fewer than two, or more than letters.
    """
    name = record_id(record.prompt, record.answer, record.messages)
    every = {record.answer, *record.perturbed}
    if not 1 < len(every) <= len(LETTERS):
        return None
    order = sorted(every, key=lambda option: sha256(f"{name}\x1f{option}".encode("utf-8", "surrogatepass")).digest())
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, order, strict=False)]
    prompt = "\n".join([record.prompt, *lines, "Answer:"])
    right = LETTERS[order.index(record.answer)]
    wrong = tuple(letter for letter in LETTERS[: len(order)] if letter != right)
    return reworded(Record(record.id, record.prompt, right, record.messages, perturbed=wrong), prompt)


def options_in(text: str) -> int:
    """How many options a question lists: A., A), A: at the beginnings of lines, or (A) anywhere, and so on in order."""
    found = _OPTION.findall(text.upper())
    return next((n for n, letter in enumerate(found) if letter != LETTERS[n % len(LETTERS)]), len(found))


def letter_in(text: str, options: int) -> str | None:
    """The letter that a reply names, the first of so many options that stands alone; None for a reply without any.

    An A before a word other than "is" is an article. What names no letter is left out of a score, and counted.
    """
    found = re.search(rf"\b(?!A\s+(?!is\b)\w)[A-{LETTERS[options - 1]}]\b", text)
    return found[0] if found else None


@dataclass(frozen=True)
class Pick:
    """The likeliest letter (the first of equals), the right one, and the probability of the right one.

    The probability is that among all that the model could go on with.
    """

    letter: str
    right: str
    likely: float


def pick(lm: LM, records: Sequence[Record]) -> list[Pick | None]:
    """What a model picks of each row's lettered options; None for a row without options."""
    asked = [lettered(r) for r in records]
    letters = [sorted((a.answer, *a.perturbed)) if a else [] for a in asked]
    rows = [replace(a, answer=letter) for a, some in zip(asked, letters, strict=True) if a for letter in some]
    answers = iter(ask(lm, rows))
    found: list[Pick | None] = []
    for record, some in zip(asked, letters, strict=True):
        logps = {letter: logp for letter in some if (logp := _logp(next(answers))) is not None}
        known = record is not None and len(logps) == len(some)
        found.append(Pick(_first_best(logps), record.answer, exp(logps[record.answer])) if record and known else None)
    return found


def _logp(answer: Answer) -> float | None:
    """Of the letter alone, whatever follows it."""
    return float(answer.words.logps.sum()) if len(answer.words.logps) else None


def _first_best(logps: Mapping[str, float]) -> str:
    best = max(logps.values())
    return next(letter for letter, logp in logps.items() if logp >= best - TIE)
