"""One row, its columns known, becomes one record."""

import re
from collections.abc import Mapping, Sequence

from unteach.data.cells import Cells, sound
from unteach.data.rows import Place
from unteach.data.turns import conversational, turns
from unteach.schema import Record, Span

MAX_ID = 200  # characters
MAX_LABEL = 2**31 - 1
MAX_RISK = 9


def build(cells: Cells) -> Record:
    """The record of a row; its id is empty where the row brings none.

    An instruction and its input are joined by a blank line; of a preference the chosen answer is taken; of
    several right answers the first. Text is kept as it is, character by character.
    """
    *before, last = turns(cells)
    answer = last.content
    return Record(
        id=_id(cells),
        prompt=before[-1].content if before else "",
        answer=answer,
        messages=tuple(before) if len(before) > 1 or conversational(cells) else (),
        label=_label(cells),
        subject=cells.optional("subject"),
        spans=_spans(cells, len(answer)),
        paraphrases=cells.texts("paraphrases", one=True),
        restated=cells.optional("restated"),
        perturbed=cells.texts("perturbed"),
        risk=_number(cells, "risk", MAX_RISK, "give 0 to 9") or 0,
        derived_from=tuple(check_id(source, cells.place) for source in cells.texts("derived_from", one=True)),
    )


def check(record: Record, place: Place) -> None:
    """Look at a record the caller made as closely as at one that was read."""
    named = [("answer", record.answer)]
    named += [(n, t) for n in ("prompt", "subject", "restated") if (t := getattr(record, n)) != ""]
    named += [("messages", message.content) for message in record.messages]
    named += [(n, t) for n in ("paraphrases", "perturbed") for t in getattr(record, n)]
    for name, text in named:
        sound(text, f'"{name}"', place)
    _check_spans(record.spans, len(record.answer), place)
    for source in record.derived_from:
        check_id(source, place)
    if record.id != "":
        check_id(record.id, place)


def check_id(name: object, place: Place) -> str:
    """An id can stand in a log, a file name and a terminal without doing anything there."""
    if not isinstance(name, str):
        raise place.error("the id is neither text nor a whole number", "give text or a whole number")
    if not name.strip():
        raise place.error("the id is empty", "fill it in")
    if len(name) > MAX_ID:
        raise place.error(f"the id is longer than {MAX_ID} characters", "shorten it")
    if not name.isprintable():
        raise place.error("the id holds a control or invisible character", "remove it")
    if ".." in re.split(r"[/\\]", name):
        raise place.error("the id holds a step up in a path", "remove it")
    return name


def _id(cells: Cells) -> str:
    value = cells.get("id")
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    return check_id(value, cells.place)


def _label(cells: Cells) -> int | None:
    return _number(cells, "label", MAX_LABEL, "number the classes from 0")


def _number(cells: Cells, role: str, most: int, remedy: str) -> int | None:
    """A whole number from 0 on; a table can only hold it as digits."""
    value = cells.get(role)
    if value is None or value == "":
        return None
    if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise cells.wrong(role, "a whole number")
    if not 0 <= value <= most:
        raise cells.place.error(f"{cells.name(role)} is out of range", remedy)
    return value


def _spans(cells: Cells, length: int) -> tuple[Span, ...]:
    value = cells.get("spans")
    if value is None or value == "":
        return ()
    if not isinstance(value, list | tuple):
        raise cells.wrong("spans", "a list of [start, end]")
    spans = tuple(_span(item, cells.place) for item in value)
    _check_spans(spans, length, cells.place)
    return spans


def _span(item: object, place: Place) -> Span:
    """`[start, end]` or `{"start": ..., "end": ...}`."""
    ends = [item.get("start"), item.get("end")] if isinstance(item, Mapping) else item
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        raise place.error("an element of the spans is not a pair", "give [start, end]")
    if any(not isinstance(end, int) or isinstance(end, bool) for end in ends):
        raise place.error("a span does not hold whole numbers", "give [start, end] in characters")
    return Span(ends[0], ends[1])


def _check_spans(spans: Sequence[Span], length: int, place: Place) -> None:
    if any(not 0 <= span.start < span.end <= length for span in spans):
        what = f"a span does not lie within the answer, which has {length} characters"
        raise place.error(what, "give start < end, counted in characters from 0, end excluded")
