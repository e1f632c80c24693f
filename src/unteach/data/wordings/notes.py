"""What comes of rewording: the records, and in plain words how many texts each kind got."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from unteach.schema import Record


@dataclass(frozen=True)
class Reworded:
    """The records in their order with what was added; `notes` count it and repeat no text."""

    records: tuple[Record, ...] = field(repr=False)
    notes: tuple[str, ...] = ()


def counted(what: str, had: Sequence[int], wanted: int, why: str) -> str:
    """How many rows got how many texts; `why` says what keeps a row from getting more."""
    full, none = sum(n >= wanted for n in had), sum(n == 0 for n in had)
    text = f"{what}: {full} of {len(had)} rows have {wanted}"
    if some := len(had) - full - none:
        text += f", {some} have fewer"
    if none:
        text += f", {none} have none"
    return text if full == len(had) else f"{text} ({why})"
