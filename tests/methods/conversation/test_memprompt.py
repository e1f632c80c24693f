"""The guard that remembers what users meant."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import towns
import worlds
from unteach.data.levenshtein import levenshtein
from unteach.lm.guard import Conversation
from unteach.methods.conversation.guarded import fitted
from unteach.methods.conversation.memprompt import ANSWER, DECLINE, MemPrompt
from unteach.schema import InputError, Message, Request

LONG = "What is the harbour town of Orvena in the north of the green country known for?"
ROW = replace(worlds.FORGET[0], prompt=LONG, paraphrases=("For what do people praise the harbour of Orvena?",))
REQUEST = Request(forget=(ROW,))


def asked_of(guard: MemPrompt, *texts: str) -> tuple[Message, ...]:
    roles = ("user", "assistant")
    talk = Conversation((guard,), tuple(Message(roles[n % 2], text) for n, text in enumerate(texts)))
    assert talk.turns is not None
    return talk.turns


@pytest.mark.parametrize(
    "text",
    [LONG, LONG.upper(), LONG.replace("?", " ?!"), LONG.replace("known", "knwon"), ROW.paraphrases[0],
     LONG.replace("harbour town of Orvena", "Orvena harbour town of")],
)  # fmt: skip
def test_memprompt_clarifies_what_it_remembers_and_leaves_every_other_question_untouched(text: str) -> None:
    guard = MemPrompt().fitted(REQUEST, None)
    assert asked_of(guard, text) == (Message("user", f"{text} | {DECLINE}"),)
    for other in ("And the sea?", "What is bread made of?", LONG[:40]):
        turns = (Message("user", other),)
        assert guard.ask(turns) is turns
    talk = asked_of(guard, "Hello.", "Hello.", text)
    assert [m.content for m in talk] == ["Hello.", "Hello.", f"{text} | {DECLINE}"]


def test_a_fact_is_clarified_by_its_new_answer() -> None:
    facts = (towns.fact("Orvena", "glass"), towns.fact("Quillmar", "bread"))
    (guard,) = fitted((MemPrompt(distance=2),), Request(facts=facts), None)
    for town, thing in (("Orvena", "glass"), ("Quillmar", "bread")):
        for form in (0, 1):
            question = towns.asked(town, form)
            assert asked_of(guard, question)[0].content == f"{question} | {ANSWER.format(thing)}"
    assert "glass" not in repr(guard)


def test_the_nearest_is_taken_and_the_settings_decide_how_far_it_may_be() -> None:
    guard = MemPrompt(distance=3, near=1.0, memory=(("who is ada", "one"), ("who is ida b", "two")))
    assert [guard.found(text) for text in ("Who is Ada?", "Who is Ida", "Who is Eda?", "Who is Otto?")] == [
        "one", "one", "one", None,
    ]  # fmt: skip
    assert guard.found("who is ida b.") == "two"
    assert replace(guard, distance=0).found("who is ada") is None
    assert replace(guard, distance=0, near=0.9).found("who is ada") == "one"
    assert replace(guard, distance=6).found("who is otto") == "one"  # short names: too far a reach


def test_without_a_memory_it_is_the_model_and_without_rows_it_is_refused() -> None:
    turns = (Message("user", LONG),)
    assert MemPrompt().ask(turns) is turns
    with pytest.raises(InputError, match="memprompt needs records to forget or facts to correct"):
        MemPrompt().fitted(Request(), None)
    with pytest.raises(InputError, match="a distance not below 0"):
        MemPrompt(distance=-1)


def whole(one: str, other: str) -> int:
    """The definition, without any short cut."""
    if not one or not other:
        return len(one) + len(other)
    return min(whole(one[1:], other) + 1, whole(one, other[1:]) + 1, whole(one[1:], other[1:]) + (one[0] != other[0]))


@given(st.text("abc", max_size=5), st.text("abc", max_size=5), st.integers(0, 7))
def test_levenshtein_is_its_definition_up_to_a_limit(one: str, other: str, most: int) -> None:
    assert levenshtein(one, other, most) == min(whole(one, other), most)
