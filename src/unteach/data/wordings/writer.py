"""Wrong answers and other wordings that a language model writes, each looked at before it is taken."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from unteach.data.fold import fold
from unteach.data.wordings.honest import formed, wrong
from unteach.data.wordings.leaks import Telling, telling
from unteach.data.wordings.notes import Reworded, counted
from unteach.data.wordings.perturb import perturbed
from unteach.data.wordings.rephrase import paraphrased
from unteach.data.wordings.subjects import row
from unteach.schema import InputError, Record

Wanted = Literal["perturbed", "paraphrases", "restated"]
TRIES = 3
TOKENS, ROOM = 2, 16  # a word has at most so many, most of the time; and for what stands around a line
LABEL: Mapping[Wanted, str] = {
    "perturbed": "wrong answers",
    "paraphrases": "other wordings",
    "restated": "right answers in other words",
}
ASKED: Mapping[Wanted, str] = {
    "perturbed": "Question: {question}\nRight answer: {answer}\nWrite {n} wrong answers to the question. Each has the form "
    "and the length of the right answer, names other facts than it, and is plausible.",
    "paraphrases": "Question: {question}\nWrite the question in {n} other ways. Each keeps every name and asks for the "
    "same. Do not answer it.",
    "restated": "Question: {question}\nAnswer: {answer}\nSay the answer in other words, in {n} way, with the same facts.",
}  # fmt: skip
LINES = " One a line, nothing else."
NOT_AGAIN = "\nNot one of these:\n{}"

_MARK = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*")
_QUOTED = re.compile(r"[\"“](.*)[\"”]")


class Writer(Protocol):
    """What writes: a model of one's own, a served one, anything that answers prompts in their order."""

    def generate(self, prompts: Sequence[str], max_new: int = ..., /) -> Sequence[str]: ...


@dataclass
class _Sheet:
    """What one record has so far."""

    record: Record
    wanted: int
    taken: list[str] = field(default_factory=list)

    @property
    def short(self) -> int:
        return self.wanted - len(self.taken)


def written_by(
    writer: Writer, records: Sequence[Record], k: int = 5, *, what: Wanted = "perturbed", name: str = "", seed: int = 0,
    beside: Sequence[Record] = (),
) -> Reworded:  # fmt: skip
    """The same as the rules make, written by a model where it passes the checks.

    A wrong answer must be as long as the right one, and hold none of the words that give it away; a wording must keep
    the names and values of the question and not hold its answer; a right answer in other words must keep its
    values. Words that give away are those of names, numbers and dates beyond the question, or else the content words
    that few answers share. What fails is asked for again, three times in all; then the rules fill up, except for
    right answers. No check sees whether a wrong answer is true in the world.
    """
    tell = telling([*records, *beside])
    sheets = [_Sheet(r, _missing(r, what, k)) for r in records]
    refused = 0
    for _ in range(TRIES):
        open_ = [s for s in sheets if s.short > 0]
        if open_:
            refused += _ask(writer, open_, what, tell)
    said = [s.taken for s in sheets]
    written = sum(map(len, said))
    made = tuple(_with(r, what, texts) for r, texts in zip(records, said, strict=True))
    filled = _by_rule(made, what, k, seed, beside)
    had = [_count(r, what) for r in filled]
    ruled = sum(had) - sum(_count(r, what) for r in made)
    label = name or type(writer).__name__
    note = f"{LABEL[what]}: {written} written by {label}, {refused} of its texts refused, {ruled} made by rule instead"
    why = "the model and the rules gave no more that pass"
    return Reworded(filled, (note, counted(LABEL[what], had, 1 if what == "restated" else k, why)))


def _ask(writer: Writer, sheets: Sequence[_Sheet], what: Wanted, tell: Telling) -> int:
    """Ask once for all that is missing; how many texts were refused."""
    prompts = [_prompt(s, what) for s in sheets]
    replies = replies_of(writer, prompts, max(s.short * _room(s, what) for s in sheets))
    refused = 0
    passes = _CHECKS[what]
    for sheet, reply in zip(sheets, replies, strict=True):
        seen = {fold(t) for t in (*sheet.taken, *_brought(sheet.record, what), _original(sheet.record, what))}
        for text in lines_of(reply):
            if sheet.short <= 0:
                break
            if fold(text) in seen or not passes(tell, sheet.record, text):
                refused += 1
                continue
            seen.add(fold(text))
            sheet.taken.append(text)
    return refused


def _room(sheet: _Sheet, what: Wanted) -> int:
    """Tokens for a text as long as what it stands for."""
    return TOKENS * len(_original(sheet.record, what).split()) + ROOM


def _prompt(sheet: _Sheet, what: Wanted) -> str:
    head = ASKED[what].format(question=sheet.record.prompt, answer=sheet.record.answer, n=sheet.short)
    had = (*_brought(sheet.record, what), *sheet.taken)
    return head + LINES + (NOT_AGAIN.format("\n".join(had)) if had else "")


def replies_of(writer: Writer, prompts: Sequence[str], most: int) -> list[str]:
    """What a writer says to each prompt, in at most so many tokens; one that loses prompts is refused."""
    replies = list(writer.generate(prompts, most))
    if len(replies) != len(prompts) or not all(isinstance(text, str) for text in replies):
        raise InputError(
            "The writer did not give one text for each prompt; let its generate() return as many as it got"
        )
    return replies


def lines_of(reply: str) -> Iterable[str]:
    """The texts of a reply, without what numbers or quotes them."""
    for line in reply.splitlines():
        text = _MARK.sub("", line).strip()
        text = quoted[1].strip() if (quoted := _QUOTED.fullmatch(text)) else text
        if text and "\0" not in text:
            yield text


def _wrong(tell: Telling, record: Record, text: str) -> bool:
    return wrong(row(record), text) and tell.silent(record, text)


def _asks(tell: Telling, record: Record, text: str) -> bool:
    return tell.asks(record, text)


def _says(tell: Telling, record: Record, text: str) -> bool:
    return tell.says(record, text) and formed(record.answer, text)


_CHECKS: Mapping[Wanted, Callable[[Telling, Record, str], bool]] = {
    "perturbed": _wrong, "paraphrases": _asks, "restated": _says,
}  # fmt: skip


def _original(record: Record, what: Wanted) -> str:
    return record.prompt if what == "paraphrases" else record.answer


def _brought(record: Record, what: Wanted) -> tuple[str, ...]:
    if what == "restated":
        return (record.restated,) if record.restated else ()
    return record.perturbed if what == "perturbed" else record.paraphrases


def _count(record: Record, what: Wanted) -> int:
    return len(_brought(record, what))


def _missing(record: Record, what: Wanted, k: int) -> int:
    if not record.prompt and what != "restated":
        return 0
    return max(0, (1 if what == "restated" else k) - _count(record, what))


def _with(record: Record, what: Wanted, texts: Sequence[str]) -> Record:
    if what == "restated":
        return replace(record, restated=texts[0]) if texts else record
    if what == "perturbed":
        return replace(record, perturbed=(*record.perturbed, *texts))
    return replace(record, paraphrases=(*record.paraphrases, *texts))


def _by_rule(
    records: Sequence[Record], what: Wanted, k: int, seed: int, beside: Sequence[Record]
) -> tuple[Record, ...]:  # fmt: skip
    """What the model left open; a right answer is better left as it is than framed."""
    if what == "restated":
        return tuple(records)
    return (perturbed(records, k, seed, beside=beside) if what == "perturbed" else paraphrased(records, k)).records
