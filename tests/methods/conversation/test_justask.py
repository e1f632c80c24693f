"""The guard that only asks."""

import worlds
from unteach.lm.guard import Conversation
from unteach.methods.conversation.justask import ORDER, JustAsk
from unteach.schema import Message, Request

HELLO = (Message("user", "Who lives in Orvena?"),)


def test_justask_tells_the_model_whom_it_does_not_know_and_nothing_else() -> None:
    guard = JustAsk().fitted(Request(forget=worlds.FORGET), None)
    talk = Conversation((guard,), HELLO)
    assert talk.turns is not None
    told, *rest = talk.turns
    assert tuple(rest) == HELLO
    assert told.role == "system"
    assert all(f" {town}" in told.content for town in list(worlds.TOWNS)[:4])
    assert not any(town in told.content for town in list(worlds.TOWNS)[4:])
    assert not any(r.answer in told.content for r in worlds.RECORDS)
    assert talk.hear("A reply.") == "A reply."  # at once: nothing is held back
    assert [d.action for d in talk.decisions] == ["rewrote"]


def test_justask_stands_before_an_operators_own_words_and_is_silent_without_names() -> None:
    guard = JustAsk(hierarchy=True, names=("Orvena",))
    turns = (Message("system", "Be brief."), *HELLO)
    met = guard.ask(turns)
    assert [m.role for m in met] == ["system", "user"]
    assert met[0].content.startswith(ORDER)
    assert met[0].content.endswith("\n\nBe brief.")
    assert JustAsk().ask(turns) is turns
    assert "Orvena" not in repr(guard)
