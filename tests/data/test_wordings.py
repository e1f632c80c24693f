"""What is made by rule is wrong where it should be, right where it should be, distinct, and the same every time."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import PEOPLE, TRADES, sound

from unteach.data import read
from unteach.data.fold import fold
from unteach.data.wordings import lines, paraphrased, perturbed, restated, reword
from unteach.data.wordings.polar import opposite
from unteach.data.wordings.rephrase import wordings
from unteach.data.wordings.restate import turned
from unteach.data.wordings.shapes import others
from unteach.data.wordings.values import Value, values
from unteach.data.wordings.vocabulary import content
from unteach.schema import InputError, Message, Record, Span

BY_ID = {r.id: r for r in perturbed(PEOPLE).records}


@pytest.mark.parametrize("record", PEOPLE, ids=lambda r: r.id)
def test_wrong_answers_are_wrong_distinct_and_of_the_same_form(record: Record) -> None:
    made = BY_ID[record.id].perturbed
    assert len(made) == 5
    sound(record, made)


def test_wrong_answers_take_what_stands_in_the_same_place_of_other_rows() -> None:
    for text in BY_ID["trade-0"].perturbed:
        found = re.fullmatch(r"Ada Birch works as an? (\w+)\.", text)
        assert found is not None
        assert found[1] in TRADES[1:]
    for text in BY_ID["home-0"].perturbed:
        assert re.fullmatch(r"Ada Birch lives at \d+ \w+ Street\.", text)
        assert "Elm Street" not in text
    for text in BY_ID["mail-0"].perturbed:
        assert re.fullmatch(r"Write to ada\.birch@post[1-7]\.org\.", text)


def test_what_is_said_of_the_same_person_is_never_taken_for_wrong() -> None:
    second = Record("also", "What else does Ada Birch do?", "Ada Birch works as a baker.")
    made = {r.id: r for r in perturbed([*PEOPLE, second], k=8).records}
    assert made["trade-0"].perturbed
    assert not [text for text in made["trade-0"].perturbed if "baker" in text]
    assert not [text for text in made["also"].perturbed if "potter" in text]


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 2**40))
def test_wrong_answers_depend_on_the_seed_and_the_rows_and_not_on_their_order(rng: random.Random, seed: int) -> None:
    order = list(PEOPLE)
    rng.shuffle(order)
    first, again = perturbed(PEOPLE, seed=seed).records, perturbed(order, seed=seed).records
    assert {r.id: r.perturbed for r in first} == {r.id: r.perturbed for r in again}


ODD = st.text("Aa bB'\"’.,;:!?@+-0129◇é日 \n", max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ODD, ODD.filter(str.strip), ODD), min_size=1, max_size=6))
def test_whatever_rows_hold_nothing_fails_and_nothing_right_is_called_wrong(rows: list[tuple[str, str, str]]) -> None:
    given_ = [Record(f"{i}", question, answer, subject=who) for i, (question, answer, who) in enumerate(rows)]
    for before, after in zip(given_, reword(given_, restate=True).records, strict=True):
        assert fold(before.answer) not in map(fold, after.perturbed)
        assert len(set(map(fold, after.perturbed))) == len(after.perturbed)
        assert fold(before.prompt) not in map(fold, after.paraphrases)
        assert after.restated.strip()


def test_another_seed_draws_other_wrong_answers() -> None:
    assert [r.perturbed for r in perturbed(PEOPLE, k=2, seed=1).records] != [
        r.perturbed for r in perturbed(PEOPLE, k=2).records
    ]


def test_where_no_wrong_answer_is_sure_there_is_none_and_the_count_is_told() -> None:
    alone = Record("a", "How does she work?", "With patience and a sense of rhythm.")
    made = perturbed([*PEOPLE, alone])
    assert made.records[-1].perturbed == ()
    assert made.notes == (
        "wrong answers: 32 of 33 rows have 5, 1 have none (no more could be made that are surely wrong)",
    )


def test_what_a_row_brings_stays_and_stands_first() -> None:
    brought = replace(
        PEOPLE[0], perturbed=("Ada Birch works as a clown.",), paraphrases=("Her trade?",), restated="A potter."
    )
    made = reword([brought, *PEOPLE[1:]], restate=True).records[0]
    assert made.perturbed[0] == brought.perturbed[0]
    assert (made.paraphrases[0], made.restated) == ("Her trade?", "A potter.")
    assert len(made.perturbed) == len(made.paraphrases) == 5


def test_a_marked_part_of_an_answer_is_changed() -> None:
    record = replace(PEOPLE[1], spans=(Span(0, len("Ada Birch")),))  # nothing but the name, which must stay
    assert perturbed([record, *PEOPLE[2:]]).records[0].perturbed == ()


@pytest.mark.parametrize(
    ("answer", "other"),
    [
        ("Yes.", "No."),
        ("no", "yes"),
        ("Ja", "Nein"),
        ("Yes, Ada is a potter.", "No, Ada is not a potter."),
        ("No, she has not left.", "Yes, she has left."),
        ("Yes, in addition to bread, Ada has cake.", ""),
        ("Perhaps.", ""),
        ("Yes, Ada knows.", ""),
    ],
)
def test_a_polar_answer_is_denied_where_its_sentence_is_plain(answer: str, other: str) -> None:
    assert opposite(answer) == other
    made = perturbed([Record("a", "Is Ada a potter?", answer)]).records[0].perturbed
    assert made == ((other,) if other else ())


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.integers(1, 99_999).map(str),
        st.dates().map(lambda d: d.isoformat()),
        st.dates().map(lambda d: f"{d.strftime('%B')} {d.day}, {d.year:04d}"),
        st.dates().map(lambda d: f"{d.day:02d}/{d.month:02d}/{d.year:04d}"),
        st.decimals(1, 9999, places=2).map(str),
        st.integers(1000, 10**8).map(lambda n: f"{n:,}"),
        st.integers(10**6, 10**7 - 1).map(lambda n: f"+49 {str(n)[:3]} {str(n)[3:]}"),
        st.sampled_from(["two", "Twelve", "nine"]),
    )
)
def test_other_values_have_the_same_shape_and_are_never_the_value_itself(text: str) -> None:
    found = values(text)
    assert len(found) == 1, found
    for other in others(found[0], 5, "seed"):
        assert other != text
        assert [v.kind for v in values(other)] in ([found[0].kind], ["number"], ["year"])
        if found[0].kind == "number" and text.isdigit() and int(text) <= 100:
            assert 1 <= int(other) <= 100
        elif found[0].kind == "phone":
            assert re.sub(r"\d", "0", other) == re.sub(r"\d", "0", text)
            assert other.startswith("+49")
        elif found[0].kind == "year":
            assert abs(int(other) - int(text)) <= 60


def test_dates_stay_dates() -> None:
    for text in ("March 31, 1990", "31 March 1990", "1990-03-31", "March 3rd, 1990", "12th of May 1812"):
        (value,) = values(text)
        for other in others(value, 20, 7):
            (again,) = values(other)
            assert (again.kind, again.text) == ("date", other)
    assert all("2nd" not in o or "12nd" not in o for o in others(Value("date", 0, 9, "May 2nd, 1990"), 30, 1))


QUESTIONS = [
    ("What is the trade of Ada Birch?", "Tell me what the trade of Ada Birch is."),
    ("What is Orvena known for?", "Could you tell me what Orvena is known for?"),
    ("Where was Ada Birch born?", "Do you know where Ada Birch was born?"),
    ("In which city was Ada Birch born?", "Tell me in which city Ada Birch was born."),
    ("Who wrote the song of the salt?", "I would like to know who wrote the song of the salt."),
    ("Is Ada Birch a potter?", "Tell me whether Ada Birch is a potter."),
    ("Which prizes has Ada Birch won?", "Tell me which prizes Ada Birch has won."),
    ("Name three books by Ada Birch.", "Could you name three books by Ada Birch?"),
    ("Can you describe her work?", "Please describe her work."),
    ("How many sisters does Ada have?", "Please answer this question: how many sisters does Ada have?"),
    ("When did Ada Birch die?", "I have a question: when did Ada Birch die?"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "wording"), QUESTIONS)
def test_a_question_is_put_otherwise_and_loses_no_content_word(question: str, wording: str) -> None:
    made = list(wordings(question))
    assert wording in made
    assert len(made) >= 5
    assert len({fold(text) for text in [question, *made]}) == len(made) + 1
    assert all(content(question) <= content(text) for text in made)


@pytest.mark.parametrize(
    "text", ["What is the town known for?", "What is Ada Birch and Co like?", "Where is the old mill used?"]
)
def test_no_clause_is_turned_where_its_subject_may_end_anywhere(text: str) -> None:
    assert all(fold(text) in fold(made) for made in wordings(text))


@pytest.mark.parametrize(
    "text",
    ["Was ist der Beruf von Ada?", "Qui est Ada Birch ?", "¿Dónde vive Ada?", "Кто такая Ада?", "你住在哪里？", "The capital of France is", ""],
)  # fmt: skip
def test_what_is_no_english_question_gets_none_and_it_is_said(text: str) -> None:
    made = paraphrased([Record("a", text, "x"), *PEOPLE])
    assert made.records[0].paraphrases == ()
    assert "1 have none (only English questions and requests have templates)" in made.notes[0]


@pytest.mark.parametrize(
    ("answer", "other"),
    [
        ("Ada Birch works as a potter.", "Ada Birch is a potter by trade."),
        ("The author's name is Hina Ameen.", "Hina Ameen is the author's name."),
        ("Ada was born on May 3, 1980.", "The birthday of Ada is May 3, 1980."),
        ("Ada has a harbour.", ""),
        ("Ada is tall and her name is long.", ""),
    ],
)
def test_a_right_answer_is_turned_round_where_its_form_is_known_and_else_framed(answer: str, other: str) -> None:
    assert turned(answer) == other
    (made,) = restated([Record("a", "?", answer)]).records
    assert content(answer) - {"works", "born"} <= content(made.restated)
    assert fold(made.restated) != fold(answer)
    assert made.restated == other or made.restated.startswith("The answer is")


TURNS = (Message("system", "Be brief."), Message("user", "Q?"))
SHAPES = {
    "questions": reword(PEOPLE, restate=True).records,
    "system": (Record("a", "Q?", "A", messages=TURNS), Record("b", "R?", "B\u2028", label=3, subject="S", spans=(Span(0, 1),))),
    "conversations": (Record("a", "Q?", "A", messages=(*TURNS, Message("assistant", "C"), Message("user", "Q?"))),),
    "texts": (Record("a", "", "All of it.", perturbed=("None of it.",)),),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_written_is_read_back_as_it_was(shape: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(lines(SHAPES[shape]))
    assert read(file).records == SHAPES[shape]
    assert all(next(iter(json.loads(line))) == "id" for line in file.read_text(encoding="utf-8").split("\n") if line)


def test_the_counts_have_a_range() -> None:
    with pytest.raises(InputError, match="0 to 50"):
        reword(PEOPLE, count=-1)


@pytest.mark.parametrize(("name", "share"), [("knowundo_privacy/unlearn_train.json", 0.6), ("tofu/forget10.json", 0.3)])
def test_on_benchmarks_of_other_authors_many_rows_get_three_wrong_answers(
    shared: Path, name: str, share: float
) -> None:
    rows = [replace(r, perturbed=(), restated="") for r in read(shared / "data" / name).records]
    made = perturbed(rows).records
    for record in made:
        sound(replace(record, perturbed=()), record.perturbed)
    assert sum(len(r.perturbed) >= 3 for r in made) / len(made) > share
