"""Rows as a model is asked them behind guards that do no more than put the question otherwise.

Behind such guards log-probabilities can be read: those of a row's answer to the question that the model is asked are
what a user meets. A model without its guards says of these rows what it says behind them.
"""

from collections.abc import Sequence
from dataclasses import replace

from unteach.lm.generate import turns_of
from unteach.lm.guard import Conversation, Guard, Session, Streaming, asked
from unteach.schema import Record

ELSE = ("logits", "reply", "feed", "end", "over")  # what a session may do but ask


def behind(guards: Sequence[Guard], records: Sequence[Record]) -> list[Record | None]:
    """Each row with the question that the model is asked in place of its own.

    None where a guard answers itself, and for all rows where one weighs tokens or changes replies: there is no question
    whose answer the user meets.
    """
    return [_asked(Conversation(guards, turns_of(record)), record) for record in records]


def _asked(talk: Conversation, record: Record) -> Record | None:
    if talk.turns is None or not all(_only_asks(session) for session in talk.sessions):
        return None
    if talk.turns == turns_of(record):
        return record
    return replace(record, prompt=asked(talk.turns), messages=talk.turns if len(talk.turns) > 1 else ())


def _only_asks(session: Session) -> bool:
    """Whether a session leaves tokens and replies as they come."""
    plain = ([getattr(kind, name, None) for name in ELSE] for kind in (Session, Streaming))
    return [getattr(type(session), name, None) for name in ELSE] in list(plain)
