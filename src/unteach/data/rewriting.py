"""The texts of a row by name, and the row with parts of them put otherwise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from unteach.schema import Record, Span

Where = str  # "prompt", "answer", "restated", "messages.N", "paraphrases.N", "perturbed.N"


@dataclass(frozen=True)
class Change:
    """Characters `start` to `end` (exclusive) of a text, and what stands there instead."""

    start: int
    end: int
    by: str = field(repr=False)


def texts(record: Record) -> Iterator[tuple[Where, str]]:
    """Every text of a row that training may read, with its name; the last turn is named once, as a message."""
    for number, message in enumerate(record.messages):
        yield f"messages.{number}", message.content
    if not said_twice(record):
        yield "prompt", record.prompt
    yield "answer", record.answer
    for name in ("paraphrases", "perturbed"):
        yield from ((f"{name}.{n}", text) for n, text in enumerate(getattr(record, name)))
    if record.restated:
        yield "restated", record.restated


def said_twice(record: Record) -> bool:
    """Whether the prompt is the last turn of the conversation, word for word."""
    return bool(record.messages) and record.messages[-1].content == record.prompt


def rewritten(record: Record, changes: Mapping[Where, Sequence[Change]]) -> Record:
    """The row with these parts of its texts changed; its spans keep to the characters that they marked.

    The changes of one text do not overlap. A span that a change cuts is widened to all that was put there.
    """
    if not any(changes.values()):
        return record
    new = {where: changed(text, changes.get(where, ())) for where, text in texts(record)}
    messages = tuple(replace(m, content=new[f"messages.{n}"]) for n, m in enumerate(record.messages))
    answer = sorted(changes.get("answer", ()), key=lambda c: c.start)
    return replace(
        record,
        prompt=messages[-1].content if said_twice(record) else new["prompt"],
        answer=new["answer"],
        messages=messages,
        paraphrases=tuple(new[f"paraphrases.{n}"] for n in range(len(record.paraphrases))),
        perturbed=tuple(new[f"perturbed.{n}"] for n in range(len(record.perturbed))),
        restated=new.get("restated", ""),
        spans=tuple(Span(_moved(s.start, answer, end=False), _moved(s.end, answer, end=True)) for s in record.spans),
    )


def changed(text: str, changes: Sequence[Change]) -> str:
    """A text with parts of it put otherwise."""
    for change in sorted(changes, key=lambda c: -c.start):
        text = text[: change.start] + change.by + text[change.end :]
    return text


def _moved(place: int, changes: Sequence[Change], *, end: bool) -> int:
    """Where a border of a span lies after the changes, which come in order."""
    shift = 0
    for change in changes:
        if change.end <= place:
            shift += len(change.by) - (change.end - change.start)
        elif change.start < place:
            return change.start + shift + (len(change.by) if end else 0)
    return place + shift
