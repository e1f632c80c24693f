"""What an editor practises on: facts with other wordings that should follow, and questions that should not."""

from collections.abc import Sequence
from dataclasses import dataclass

from unteach.data.facts import question
from unteach.lm.batch import Row
from unteach.lm.model import LM
from unteach.methods.facts.contexts import written
from unteach.schema import Fact, InputError, Record, Request

OTHERS = 8  # questions about other facts that stand in where a fact has none beside it
TEXTS = 16  # texts of the model's own where there is nothing else
ROWS = 256  # rows to keep that a request's own practice is made of


@dataclass(frozen=True, repr=False)
class Lesson:
    """One correction: the row that it is made from, rows that should then be answered alike, rows that should not change.

    `told` is the correction in words: old answer >> new answer || question.
    """

    told: str
    edit: Row
    same: tuple[Row, ...]
    other: tuple[Row, ...]


def lessons(lm: LM, facts: Sequence[Fact], others: Sequence[Row] = ()) -> tuple[Lesson, ...]:
    """A lesson a fact. What should not change are the questions beside it, or `others`, or those of other facts."""
    asked = [row(lm, question(f), f.ground_truth or f.target_new) for f in facts]
    found = []
    for n, fact in enumerate(facts):
        edit = row(lm, question(fact), fact.target_new)
        same = tuple(row(lm, text, fact.target_new) for text in fact.rephrasings)
        beside = tuple(row(lm, p.prompt, p.answer) for p in fact.locality)
        near = [i for i in range(n + 1, n + len(facts)) if facts[i % len(facts)].subject != fact.subject]
        away = tuple(others) or tuple(asked[i % len(facts)] for i in near[:OTHERS])
        found.append(Lesson(told(fact), edit, (edit, *same), beside or away))
    return tuple(found)


def of_request(lm: LM, request: Request) -> tuple[Lesson, ...]:
    """The facts of a request themselves, as often as its rows to keep with each other's answers.

    Rows to keep that ask what a fact asks are left out; where none are left, texts that the model writes itself are what
    should not change.
    """
    taken = {text for f in request.facts for text in (question(f), *f.rephrasings)}
    kept = [r for r in request.retain if r.prompt not in taken][:ROWS]
    others = [row(lm, r.prompt, r.answer) for r in kept]
    if not others and not any(f.locality for f in request.facts):
        others = [row(lm, "", text) for text in written(lm, TEXTS)]
    own = lessons(lm, request.facts, others)
    swapped = [_swapped(lm, kept, others, n) for n in range(len(kept) if len(kept) > 1 else 0)]
    return (*own * max(1, len(swapped) // max(1, len(own))), *swapped)


def _swapped(lm: LM, kept: Sequence[Record], others: Sequence[Row], n: int) -> Lesson:
    mine, answer = kept[n], kept[(n + 1) % len(kept)].answer
    edit, *same = (row(lm, text, answer) for text in (mine.prompt, *mine.paraphrases))
    return Lesson(f"{mine.answer} >> {answer} || {mine.prompt}", edit, (edit, *same), (*others[:n], *others[n + 1 :]))


def told(fact: Fact) -> str:
    """A fact in words, for an editor that reads what it is to do."""
    return f"{fact.ground_truth} >> {fact.target_new} || {question(fact)}"


def row(lm: LM, prompt: str, answer: str) -> Row:
    """A question and its answer, without an end."""
    whole, closing = lm.encoder.row(Record("", prompt, answer)), len(lm.encoder.closing)
    if whole.cut:
        raise InputError(f"a fact is longer than the {lm.max_length} tokens that the model reads; shorten its prompt")
    return Row(whole.ids[: len(whole.ids) - closing], whole.start)
