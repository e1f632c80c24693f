"""What a model writes as another wording is taken where it is sound, and asked for again where it is not."""

from collections.abc import Sequence

import pytest
from people import PEOPLE, sound

import worlds
from unteach.data.wordings import written_by
from unteach.schema import InputError


class Told:
    """A writer that says what it is told to, and remembers what it was asked."""

    def __init__(self, *replies: str) -> None:
        self.replies, self.asked = list(replies), []

    def generate(self, prompts: Sequence[str], max_new: int = 0, /) -> list[str]:  # noqa: ARG002
        self.asked.append(list(prompts))
        return [self.replies.pop(0) if self.replies else "" for _ in prompts]


def test_a_writer_is_believed_only_where_its_wrong_answers_tell_nothing() -> None:
    leak, good = "Ada Birch is a potter, not a baker.", "Ada Birch works as a glazier."
    writer = Told(f"1. {leak}\n2. {PEOPLE[0].answer}\n3. {good}\n- {good}")
    (made,) = written_by(writer, PEOPLE[:1], 2, name="scribe", beside=PEOPLE).records
    assert made.perturbed[0] == good
    assert leak not in made.perturbed
    assert len(made.perturbed) == 2  # the second by rule
    note = written_by(Told(f"{leak}\n{good}"), PEOPLE[:1], 2, name="scribe", beside=PEOPLE).notes[0]
    assert note == "wrong answers: 1 written by scribe, 1 of its texts refused, 1 made by rule instead"


def test_a_writer_is_asked_three_times_and_not_for_what_it_gave() -> None:
    writer = Told("Ada Birch works as a glazier.")
    written_by(writer, PEOPLE[:1], 2, beside=PEOPLE)
    assert len(writer.asked) == 3
    assert "Not one of these" not in writer.asked[0][0]
    assert writer.asked[1][0].endswith("Not one of these:\nAda Birch works as a glazier.")


def test_a_written_question_keeps_its_names_and_does_not_answer_itself() -> None:
    good = '"Ada Birch earns her living by what?"'
    writer = Told(f"What does she do for a living?\nIs Ada Birch a potter?\n{good}\n{PEOPLE[0].prompt}")
    (made,) = written_by(writer, PEOPLE[:1], 1, what="paraphrases", beside=PEOPLE).records
    assert made.paraphrases == (good.strip('"'),)


def test_a_written_right_answer_keeps_its_values() -> None:
    row = PEOPLE[2]  # born on March 2, 1951
    made = written_by(
        Told("Ada Birch was born in 1951.", "On March 2, 1951 Ada Birch came into the world."), [row], what="restated"
    )
    assert made.records[0].restated == "On March 2, 1951 Ada Birch came into the world."
    nothing = written_by(Told(), [row], what="restated")
    assert nothing.records[0].restated == ""


def test_a_writer_that_loses_prompts_is_refused() -> None:
    class Lost:
        def generate(self, prompts: Sequence[str], max_new: int = 0, /) -> list[str]:  # noqa: ARG002
            return []

    with pytest.raises(InputError, match="did not give one text for each prompt"):
        written_by(Lost(), PEOPLE[:2])


def test_a_tiny_model_can_be_the_writer() -> None:
    made = written_by(worlds.llama(), PEOPLE[:3], 2, name="tiny", beside=PEOPLE)
    assert "by tiny" in made.notes[0]
    for record, found in zip(PEOPLE, made.records, strict=False):
        assert len(found.perturbed) == 2
        sound(record, found.perturbed)
