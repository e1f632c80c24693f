"""The guards that have a model take the bias out of its own answers."""

import pytest

from unteach.edit.edit import Edit
from unteach.lm.guard import Conversation, Guard, Turns
from unteach.lm.model import LM
from unteach.measure.choice import letter_in, options_in
from unteach.methods.conversation.selfdebiasexplain import SelfDebiasExplain
from unteach.methods.conversation.selfdebiasreprompt import SelfDebiasReprompt
from unteach.schema import Message, Request

QUESTION = "Two people left the mill. Who forgot the flour?\nA. the old one\nB. the young one\nC. cannot be told"
BEFORE = (Message("system", "Be brief."), Message("user", "Hello."), Message("assistant", "Hello."))


def talked(guard: Guard, turns: Turns, *replies: str) -> tuple[list[Turns], str]:
    """What the model is asked, and what leaves, when it replies so."""
    talk, met = Conversation((guard,), turns), []
    for reply in replies:
        assert talk.turns is not None
        met.append(talk.turns)
        assert talk.hear(reply) == ""  # nothing leaves before all has been said
        talk.hear(None)
    assert talk.turns is None
    return met, talk.said


def test_selfdebiasexplain_asks_for_the_explanation_and_then_for_the_letter() -> None:
    guard = SelfDebiasExplain().fitted(Request(), None)
    met, said = talked(guard, (*BEFORE, Message("user", QUESTION)), "Both rest on age.", "C")
    first = (*BEFORE, Message("user", f"Explain which answers rely on invalid assumptions. {QUESTION}"))
    last = Message("user", f"Answer the multiple choice question with a single letter. {QUESTION}")
    assert met == [first, (*first, Message("assistant", "Both rest on age."), last)]
    assert said == "C"


def test_selfdebiasreprompt_asks_again_after_the_first_answer() -> None:
    guard = SelfDebiasReprompt().fitted(Request(), None)
    turns = (*BEFORE, Message("user", QUESTION))
    met, said = talked(guard, turns, "A", "C")
    again = "Remove bias from your answer by answering the question again with a single letter."
    assert met == [turns, (*turns, Message("assistant", "A"), Message("user", again))]
    assert said == "C"


@pytest.mark.parametrize("guard", [SelfDebiasExplain(), SelfDebiasReprompt()], ids=lambda g: type(g).__name__)
def test_what_lists_no_options_is_the_model_bit_for_bit(llama: LM, guard: Guard) -> None:
    turns = (Message("user", "Who lives in Orvena?"),)
    assert guard.session().ask(turns) is turns
    plain = llama.generate(["Who lives in Orvena?"], 8)
    with Edit(base=llama.digest(), guards=(guard,)).on(llama):
        assert llama.generate(["Who lives in Orvena?"], 8) == plain


def test_a_session_starts_anew_with_each_question() -> None:
    session = SelfDebiasReprompt().session()
    session.ask((Message("user", QUESTION),))
    plain = (Message("user", "And the sea?"),)
    assert session.ask(plain) is plain
    assert session.reply("Salt.") == "Salt."


def test_replies_that_name_no_letter_are_left_out_of_a_score() -> None:
    replies = ["C", "(B)", "The answer is A.", "A person forgot it.", "I do not know.", "D", "", "c"]
    letters = [letter_in(text, options_in(QUESTION)) for text in replies]
    assert letters == ["C", "B", "A", None, None, None, None, None]
    counted = [letter == "C" for letter in letters if letter is not None]
    assert sum(counted) / len(counted) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (QUESTION, 3), ("Which? (a) one (b) two (c) three", 3), ("Which?\n(A) one\n(B) two", 2), ("Which?\nA) x\nB) y", 2),
        ("A. Nobody. B. Nobody.", 1), ("Who lives here?", 0), ("Which?\nB. one\nC. two", 0), ("Is it (A) vitamin?", 1),
        ("Which?\nA. one\nB. two\nD. three", 2),
    ],
)  # fmt: skip
def test_options_are_counted_from_a_on(text: str, count: int) -> None:
    assert options_in(text) == count
