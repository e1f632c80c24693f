"""Facts as token rows, with the place of the subject's last token: there a fact is looked up, and there it is written."""

from collections.abc import Sequence
from dataclasses import dataclass

from unteach.lm.batch import Row
from unteach.lm.model import LM
from unteach.schema import Fact, InputError, Record

ESSENCE = "{} is a"  # what a subject is must not change with the fact


@dataclass(frozen=True)
class Spot:
    """One row, and the numbers of the subject's tokens in it."""

    row: Row
    subject: range

    @property
    def at(self) -> int:
        """The number of the subject's last token."""
        return self.subject[-1]


def spot(lm: LM, form: str, subject: str, answer: str = "") -> Spot:
    """A form with the subject in place of its first {}, and the answer that it should go on with, without an end.

    Tokens are found by the characters that they cover, so that it does not matter how often a subject occurs or
    whether a token reaches beyond it.
    """
    before, _, after = form.partition("{}")
    prompt = before + subject + after
    ids, held = lm.encoder.located(prompt, len(before), len(before) + len(subject))
    if not answer:
        return Spot(Row(tuple(ids), len(ids)), held)
    row, closing = lm.encoder.row(Record("", prompt, answer)), len(lm.encoder.closing)
    if row.cut:
        raise InputError(f"a fact is longer than the {lm.max_length} tokens that the model reads; shorten its prompt")
    return Spot(Row(row.ids[: len(row.ids) - closing], row.start), held)


def rewriting(lm: LM, fact: Fact, contexts: Sequence[str]) -> list[Spot]:
    """The fact with its new answer behind each context."""
    forms = [context.replace("{}", fact.prompt, 1) for context in contexts]
    return [spot(lm, form, fact.subject, fact.target_new) for form in forms]


def asking(lm: LM, fact: Fact, contexts: Sequence[str]) -> list[Spot]:
    """The fact's prompt behind each context."""
    return [spot(lm, context.replace("{}", fact.prompt, 1), fact.subject) for context in contexts]
