"""The guard that unlearns by examples before a question."""

from dataclasses import replace

import pytest

from unteach.lm.guard import Conversation
from unteach.methods.conversation.icul import ICUL, KEPT
from unteach.schema import InputError, Message, Record, Request

NAMES = ("negative", "positive")
KINDS = ("sour", "fresh", "burnt", "warm", "stale", "crisp", "hard", "soft", "grey", "light", "cold", "round")
ROWS = tuple(Record(f"r{i}", f"Review {i}: {kind} bread.", NAMES[i % 2], label=i % 2) for i, kind in enumerate(KINDS))
OWN = {r.prompt: r.answer for r in ROWS}
REQUEST = Request(forget=ROWS[:2], retain=ROWS[2:])


def lines(guard: ICUL, question: str) -> list[str]:
    turns = guard.ask((Message("user", question),))
    assert isinstance(turns, tuple)
    assert len(turns) == 1
    return turns[0].content.split("\n")


def split(line: str) -> tuple[str, str]:
    text, _, label = line.rpartition(" ")
    return text, label


@pytest.mark.parametrize("examples", [0, 1, 3, 5])
@pytest.mark.parametrize("question", [ROWS[0].prompt, ROWS[1].prompt, ROWS[7].prompt, "Review: no bread."])
def test_icul_flips_the_labels_of_the_forgotten_alone_and_asks_last(question: str, examples: int) -> None:
    guard = ICUL(examples=examples).fitted(REQUEST, None)
    *shown, last = lines(guard, question)
    assert last == question
    assert len(shown) == examples + 1
    (first, label), *rest = map(split, shown)
    assert first in {r.prompt for r in REQUEST.forget}
    assert label == NAMES[1 - NAMES.index(OWN[first])]
    assert all(OWN[text] == label for text, label in rest)
    assert not {text for text, _ in rest} & {r.prompt for r in REQUEST.forget}
    assert question not in {text for text, _ in rest}
    assert len({text for text, _ in rest}) == examples
    if question in {r.prompt for r in REQUEST.forget}:
        assert first == question


def test_the_same_question_is_put_in_the_same_way_and_the_seed_changes_it() -> None:
    guard = ICUL().fitted(REQUEST, None)
    again = ICUL().fitted(replace(REQUEST, retain=REQUEST.retain[::-1]), None)
    assert [lines(guard, r.prompt) for r in ROWS] == [lines(again, r.prompt) for r in ROWS]
    assert lines(guard, ROWS[5].prompt)[1:-1] != lines(guard, ROWS[6].prompt)[1:-1]
    assert lines(ICUL(seed=1).fitted(REQUEST, None), ROWS[5].prompt) != lines(guard, ROWS[5].prompt)


def test_ablations_take_away_one_thing_each() -> None:
    question = ROWS[0].prompt
    flip, correct, random, repeat = (
        [split(line) for line in lines(ICUL(ablation=how).fitted(REQUEST, None), question)[:-1]]
        for how in ("flip", "correct", "random", "repeat")
    )
    assert correct == [(question, OWN[question]), *flip[1:]]
    assert random[0][0] in {r.prompt for r in REQUEST.retain}
    assert [OWN[text] == label for text, label in random] == [False, True, True, True]
    assert repeat == [flip[0], *[(question, OWN[question])] * 3]


def test_several_forgotten_rows_come_first_and_each_flips_to_some_other_class() -> None:
    rows = tuple(Record(f"n{i}", f"Story {i}", f"kind{i % 4}", label=i % 4) for i in range(40))
    guard = ICUL(flips=8, examples=2).fitted(Request(forget=rows[:8], retain=rows[8:]), None)
    shown = [split(line) for line in lines(guard, "Story 99")[:-1]]
    own = {r.prompt: r.answer for r in rows}
    assert {text for text, _ in shown[:8]} == {r.prompt for r in rows[:8]}
    assert all(label != own[text] and label in set(own.values()) for text, label in shown[:8])
    assert len({label for _, label in shown[:8]}) > 1
    assert all(label == own[text] for text, label in shown[8:])


def test_earlier_turns_stay_and_an_unfitted_one_is_the_model() -> None:
    guard = ICUL().fitted(REQUEST, None)
    turns = (Message("system", "Label reviews."), Message("user", ROWS[0].prompt))
    talk = Conversation((guard,), turns)
    assert talk.turns is not None
    assert talk.turns[0] == turns[0]
    assert talk.turns[1].content.endswith(f"\n{ROWS[0].prompt}")
    assert talk.hear("positive") == "positive"
    assert ICUL().ask(turns) is turns
    assert "bread" not in repr(guard)


def test_it_keeps_no_more_rows_than_it_needs() -> None:
    many = tuple(Record(f"m{i}", f"Story {i}", NAMES[i % 2], label=i % 2) for i in range(KEPT + 90))
    assert len(ICUL().fitted(Request(forget=ROWS[:1], retain=many), None).kept) == KEPT


def test_what_it_cannot_work_with_is_refused() -> None:
    bare = tuple(replace(r, label=None) for r in ROWS[:2])
    with pytest.raises(InputError, match="give each record to forget a 'label'"):
        ICUL().fitted(replace(REQUEST, forget=bare), None)
    with pytest.raises(InputError, match="two classes at least"):
        ICUL().fitted(Request(forget=ROWS[:1], retain=ROWS[2:3]), None)
    with pytest.raises(InputError, match="flips, at least 1"):
        ICUL(flips=0)
