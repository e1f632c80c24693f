"""Which parts of an answer are sensitive: marked by rule, or by a model that names them and is then asked of each.

Wang et al. 2024, arXiv:2402.05813, let a language model annotate in two stages, and verify what it annotated.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from unteach.data.wordings.leaks import Telling, telling
from unteach.data.wordings.notes import Reworded, counted
from unteach.data.wordings.values import values
from unteach.data.wordings.vocabulary import words
from unteach.data.wordings.writer import LINES, TRIES, Writer, lines_of, replies_of
from unteach.schema import Record, Span

NAMED = (
    "Question: {question}\nAnswer: {answer}\nWhich parts of the answer are private, or hold only of whom or what it is "
    "about? Copy each exactly as it stands there, as short as it can be."
)
CONFIRMED = (
    "Question: {question}\nAnswer: {answer}\nSomebody wants to hide this part of the answer: {part}\nDoes it tell what is "
    "private, or holds only of whom or what the answer is about? Say yes or no."
)
PARTS, VERDICT = 128, 8  # tokens of a list of parts, and of a yes or no

_WORD = re.compile(r"\w+")


def marked(
    records: Sequence[Record], *, writer: Writer | None = None, name: str = "", beside: Sequence[Record] = ()
) -> Reworded:
    """The records with `spans` on the parts of their answers that give them away; marks that a row has stay.

    A model's part is taken where it stands in the answer, on whole words, and the model then says yes to it. Rows of which it
    marks nothing are asked again, three times in all, and then marked by rule, as all are without a model: the names,
    numbers, dates and addresses beyond the question, or else the words that few answers share.
    """
    tell = telling([*records, *beside])
    found: dict[int, tuple[Span, ...]] = {}
    bare, refused = [i for i, r in enumerate(records) if not r.spans], 0
    for _ in range(TRIES):
        open_ = [i for i in bare if i not in found]
        if writer is None or not open_:
            break
        told, no = _told(writer, [records[i] for i in open_])
        refused += no
        found |= {i: spans for i, spans in zip(open_, told, strict=True) if spans}
    by_rule = {i: ruled(tell, records[i]) for i in bare if i not in found}
    made = tuple(replace(r, spans=r.spans or found.get(i) or by_rule[i]) for i, r in enumerate(records))
    notes = [counted("marked parts", [len(r.spans) for r in made], 1, "the answer has no word of its own")]
    if writer is not None:
        label = name or type(writer).__name__
        filled = sum(map(bool, by_rule.values()))
        notes.append(
            f"{len(found)} rows marked by {label}, {refused} of its parts refused, {filled} rows marked by rule instead"
        )
    return Reworded(made, tuple(notes))


def ruled(tell: Telling, record: Record) -> tuple[Span, ...]:
    """The values of an answer beyond its question, or else the words that tell it from others."""
    asked = words(record.prompt)
    held = [Span(v.start, v.end) for v in values(record.answer, asked) if not set(words(v.text)) <= set(asked)]
    return tuple(held) or _runs(record.answer, tell.words(record))


def _runs(text: str, wanted: frozenset[str]) -> tuple[Span, ...]:
    """Where some words stand in a text, those side by side together."""
    found: list[Span] = []
    for word in _WORD.finditer(text):
        if not wanted & set(words(word[0])):
            continue
        if found and not text[found[-1].end : word.start()].strip():
            found[-1] = Span(found[-1].start, word.end())
        else:
            found.append(Span(*word.span()))
    return tuple(found)


def _told(writer: Writer, records: Sequence[Record]) -> tuple[list[tuple[Span, ...]], int]:
    """The spans that a model marks in each answer, and how many of its parts were refused."""
    prompts = [NAMED.format(question=r.prompt, answer=r.answer) + LINES for r in records]
    replies = replies_of(writer, prompts, PARTS)
    parts = [(i, part) for i, reply in enumerate(replies) for part in dict.fromkeys(lines_of(reply))]
    standing = [(i, part) for i, part in parts if any(_places(records[i].answer, part))]
    asked = [CONFIRMED.format(question=records[i].prompt, answer=records[i].answer, part=part) for i, part in standing]
    verdicts = replies_of(writer, asked, VERDICT) if asked else []
    sure = [p for p, verdict in zip(standing, verdicts, strict=True) if words(verdict)[:1] == ["yes"]]
    spans = [
        [s for j, part in sure if j == i for s in _places(record.answer, part)] for i, record in enumerate(records)
    ]
    return [_apart(found) for found in spans], len(parts) - len(sure)


def _places(text: str, part: str) -> Iterator[Span]:
    """Where a part stands in a text, on whole words."""
    return (Span(*m.span()) for m in re.finditer(rf"(?<!\w){re.escape(part)}(?!\w)", text))


def _apart(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans in their order, those that meet made one."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, s.end)):
        if found and span.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return tuple(found)
