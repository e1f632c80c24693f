"""The turns of a row: a plain question and answer are a user's turn and the assistant's."""

from collections.abc import Mapping

from unteach.data.cells import Cells, kind, sound
from unteach.schema import Message, Role

ROLES: Mapping[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}


def turns(cells: Cells) -> tuple[Message, ...]:
    """All turns in order, the answer last; a `system` column comes first."""
    found = _talk(cells, "messages") if "messages" in cells.roles else (*_question(cells), *_reply(cells))
    if system := cells.optional("system"):
        found = (Message("system", system), *found)
    order = [turn.role for turn in found]
    if order[-1:] != ["assistant"]:
        raise cells.place.error("the conversation does not end with the assistant's answer", "end it with one")
    if "system" in order[1:]:
        raise cells.place.error("a system turn stands after the first turn", "keep one system turn, at the start")
    if order[-2:-1] != ["user"] and (len(order) > 1 or "messages" in cells.roles):
        raise cells.place.error("the answer does not follow a user's turn", "put the question before the answer")
    return found


def conversational(cells: Cells) -> bool:
    """Whether the row came as turns, and not as plain text."""
    return isinstance(cells.get("messages") or cells.get("prompt"), list | tuple)


def _question(cells: Cells) -> tuple[Message, ...]:
    if "prompt" not in cells.roles:
        return ()
    if isinstance(cells.get("prompt"), list | tuple):
        return _talk(cells, "prompt")
    parts = [cells.text("prompt"), cells.optional("input")]
    return (Message("user", "\n\n".join(part for part in parts if part)),)


def _reply(cells: Cells) -> tuple[Message, ...]:
    """The first of several right answers is taken (zsRE and KnowEdit list other spellings after it)."""
    value = cells.get("answer")
    if isinstance(value, list | tuple) and value:
        if isinstance(value[0], Mapping):
            return _talk(cells, "answer")
        return (Message("assistant", cells.texts("answer")[0]),)
    if isinstance(value, list | tuple):
        raise cells.place.error(f"{cells.name('answer')} is empty", "fill it in or remove the row")
    return (Message("assistant", cells.text("answer")),)


def _talk(cells: Cells, role: str) -> tuple[Message, ...]:
    value = cells.get(role)
    if value is None:
        raise cells.place.error(f"{cells.name(role)} is missing", "fill it in or remove the row")
    if not isinstance(value, list | tuple):
        raise cells.wrong(role, "a list of turns")
    if not value:
        raise cells.place.error(f"{cells.name(role)} is empty", "fill it in or remove the row")
    return tuple(_turn(turn, number, cells, role) for number, turn in enumerate(value, 1))


def _turn(turn: object, number: int, cells: Cells, role: str) -> Message:
    """`role` and `content`, or ShareGPT's `from` and `value`."""
    name = f"turn {number} of {cells.name(role)}"
    if not isinstance(turn, Mapping):
        raise cells.place.error(f"{name} is {kind(turn)}", "give an object with role and content")
    who, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    speaker = ROLES.get(who) if isinstance(who, str) else None
    if speaker is None:
        raise cells.place.error(f"{name} has an unknown role", "use system, user or assistant")
    return Message(speaker, sound(content, f"the content of {name}", cells.place))
