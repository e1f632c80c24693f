"""Records as JSON lines that `read` gives back as they were."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from unteach.schema import Record


def lines(records: Sequence[Record]) -> bytes:
    """One object a record, under our own column names; all of one shape, which is the simplest that fits all."""
    shape = _shape(records)
    rows = ({"id": r.id, **_talk(r, shape), **_extras(r)} for r in records)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def _shape(records: Sequence[Record]) -> str:
    if all(not r.prompt and not r.messages for r in records):
        return "text"
    plain = all(r.prompt and [m.role for m in r.messages] in ([], ["system", "user"]) for r in records)
    return "question" if plain else "messages"


def _talk(record: Record, shape: str) -> Mapping[str, object]:
    if shape == "text":
        return {"text": record.answer}
    if shape == "question":
        system = {"system": record.messages[0].content} if record.messages else {}
        return {**system, "question": record.prompt, "answer": record.answer}
    turns = [asdict(m) for m in record.messages] or [{"role": "user", "content": record.prompt}] * bool(record.prompt)
    return {"messages": [*turns, {"role": "assistant", "content": record.answer}]}


def _extras(record: Record) -> Mapping[str, object]:
    """What a record has beyond question and answer."""
    every: Mapping[str, object] = {
        "label": record.label,
        "subject": record.subject,
        "spans": [[s.start, s.end] for s in record.spans],
        "paraphrases": list(record.paraphrases),
        "restated": record.restated,
        "perturbed": list(record.perturbed),
        "risk": record.risk or None,
        "derived_from": list(record.derived_from),
    }
    return {name: value for name, value in every.items() if value not in (None, "", [])}
