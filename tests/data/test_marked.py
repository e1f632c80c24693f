"""Sensitive parts are marked where they stand: by rule, or by a model that names them and confirms each."""

from collections.abc import Sequence

import pytest
from people import PEOPLE

import worlds
from unteach.data.wordings.marked import CONFIRMED, NAMED, marked
from unteach.schema import InputError, Record, Span


class Annotator:
    """Names parts of the first row and, when asked of one, says yes to what it believes."""

    def __init__(self, parts: Sequence[str], believes: Sequence[str]) -> None:
        self.parts, self.believes, self.rounds = parts, believes, 0

    def generate(self, prompts: Sequence[str], max_new: int = 0, /) -> list[str]:  # noqa: ARG002
        if "Say yes or no" in prompts[0]:
            return ["Yes." if any(f": {b}\n" in p for b in self.believes) else "No" for p in prompts]
        self.rounds += 1
        return ["\n".join(f"- {p}" for p in self.parts)] * len(prompts)


def parts(record: Record) -> list[str]:
    return [record.answer[s.start : s.end] for s in record.spans]


ROW = Record("a", "Who is Ada Birch?", "Ada Birch, a potter from Sel, was born in Orvena. A potter paints pots.")


def test_rules_mark_what_the_question_does_not_hold() -> None:
    made = marked(PEOPLE)
    assert made.notes[0] == f"marked parts: {len(PEOPLE)} of {len(PEOPLE)} rows have 1"
    for record in made.records:
        assert parts(record)
        assert not any(part in record.prompt for part in parts(record))
    assert parts(marked([ROW]).records[0]) == ["Sel", "Orvena"]
    plain = Record("b", "What does she like?", "She likes warm bread.")
    assert parts(marked([plain]).records[0]) == ["likes warm bread"]


def test_marks_that_a_row_has_stay() -> None:
    own = Record("a", ROW.prompt, ROW.answer, spans=(Span(0, 3),))
    assert marked([own], writer=Annotator(["Orvena"], ["Orvena"])).records == (own,)


def test_a_model_marks_whole_words_that_stand_there_and_that_it_confirms() -> None:
    writer = Annotator(["potter", "Orvena", "Orven", "from Sel", "Selma"], ["potter", "Orvena", "Orven", "Selma"])
    made = marked([ROW], writer=writer, name="scribe")
    assert parts(made.records[0]) == ["potter", "Orvena", "potter"]  # "from Sel" is not confirmed
    assert made.notes[1] == "1 rows marked by scribe, 3 of its parts refused, 0 rows marked by rule instead"
    assert writer.rounds == 1


def test_parts_that_meet_are_one() -> None:
    writer = Annotator(["a potter", "potter from Sel"], ["a potter", "potter from Sel"])
    assert parts(marked([ROW], writer=writer).records[0]) == ["a potter from Sel"]


def test_what_a_model_does_not_mark_is_asked_for_three_times_and_then_marked_by_rule() -> None:
    writer = Annotator(["nothing of it"], [])
    made = marked([ROW], writer=writer, name="scribe")
    assert (writer.rounds, parts(made.records[0])) == (3, ["Sel", "Orvena"])
    assert made.notes[1].endswith("3 of its parts refused, 1 rows marked by rule instead")


def test_a_tiny_model_can_mark_and_one_that_loses_prompts_is_refused() -> None:
    made = marked(PEOPLE[:2], writer=worlds.llama(), name="tiny")
    assert all(r.spans for r in made.records)
    lost = Annotator([], [])
    lost.generate = lambda prompts, max_new=0: []  # type: ignore[method-assign]  # noqa: ARG005
    with pytest.raises(InputError, match="did not give one text for each prompt"):
        marked([ROW], writer=lost)


def test_the_prompts_hold_question_and_answer() -> None:
    assert all(f"{{{name}}}" in text for text in (NAMED, CONFIRMED) for name in ("question", "answer"))
