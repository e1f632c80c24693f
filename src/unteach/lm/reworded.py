"""The same row with another question."""

from dataclasses import replace

from unteach.schema import Message, Record


def reworded(record: Record, prompt: str) -> Record:
    """The row with another prompt; of a conversation the last turn is put otherwise."""
    turns = (*record.messages[:-1], Message("user", prompt)) if record.messages else ()
    return replace(record, prompt=prompt, messages=turns)
