"""One file becomes a request by one of its columns."""

from typing import Any

import pytest

from unteach.data import read
from unteach.data.parting import classed, parted
from unteach.schema import InputError

KINDS = ("wood", "stone", "wood", "stone", "cloth", "cloth")
ROWS = [
    {"question": f"Of what is thing {i}?", "answer": kind, "made": kind, "label": i % 2, "task": "one"}
    for i, kind in enumerate(KINDS)
]


def rows_with(**cells: Any) -> list[dict[str, Any]]:
    return [*ROWS[:3], {**ROWS[3], **cells}, *ROWS[4:]]


def test_a_value_parts_the_rows_in_their_order_with_their_lines() -> None:
    gone, kept = parted(read(ROWS, by="made"), "stone")
    assert (gone.lines, kept.lines) == ((2, 4), (1, 3, 5, 6))
    assert [r.answer for r in gone.records] == ["stone", "stone"]
    assert gone.marks == ("stone", "stone")
    assert read(ROWS, by="made").columns["by"] == "made"
    assert "made" not in "".join(read(ROWS, by="made").notes)
    assert "task" in "".join(read(ROWS, by="made").notes)


def test_labels_that_rows_bear_are_kept_and_others_numbered_by_the_alphabet() -> None:
    assert [r.label for part in parted(read(ROWS, by="made"), "wood") for r in part.records] == [0, 0, 1, 1, 0, 1]
    bare = [{k: v for k, v in row.items() if k != "label"} for row in ROWS]
    assert [r.label for part in parted(read(bare, by="made"), "wood") for r in part.records] == [2, 2, 1, 1, 0, 0]
    assert [r.label for r in classed(read(ROWS, by="made")).records] == [2, 1, 2, 1, 0, 0]


def test_a_label_in_words_is_a_column_like_any_other() -> None:
    words = [{**row, "label": row["made"]} for row in ROWS]
    with pytest.raises(InputError, match="whole number"):
        read(words)
    assert [r.label for r in classed(read(words, by="Label")).records] == [2, 1, 2, 1, 0, 0]


def test_whole_numbers_are_their_own_classes_whatever_their_order() -> None:
    rows = [{**row, "label": 7 if row["made"] == "wood" else 3} for row in ROWS]
    assert [r.label for r in classed(read(rows, by="label")).records] == [7, 3, 7, 3, 3, 3]
    text = [{**row, "label": str(row["label"])} for row in rows]
    assert [r.label for r in classed(read(text, by="label")).records] == [7, 3, 7, 3, 3, 3]


def test_the_choices_are_the_answers_of_the_other_classes() -> None:
    gone, kept = parted(read(rows_with(perturbed=["glass"]), by="made"), "cloth")
    assert {r.perturbed for r in gone.records} == {("stone", "wood")}
    assert [r.perturbed for r in kept.records] == [
        ("cloth", "stone"), ("cloth", "wood"), ("cloth", "stone"), ("glass",),
    ]  # fmt: skip


def test_answers_that_name_no_classes_are_no_choices() -> None:
    rows = [{**row, "answer": f"{row['answer']} {i}"} for i, row in enumerate(ROWS)]
    assert not any(r.perturbed for part in parted(read(rows, by="made"), "cloth") for r in part.records)


@pytest.mark.parametrize(
    ("rows", "by", "says"),
    [
        (ROWS, "label=4", "the rows given: no row has the value that --by names; there are 0, 1"),
        (
            ROWS, "made=Ada Quill",
            "the rows given: no row has the value that --by names; it names one of 3 values there, written as they are",
        ),
        (
            ROWS, "task=one",
            "the rows given: all rows have the value that --by names, and none is left to keep; name another value",
        ),
        (ROWS, "task", "the rows given: all rows have one value in the column that --by names; a concept has two"),
        (
            ROWS, "question",
            "the rows given: no two rows share a value in the column that --by names; name a column of classes",
        ),
        (
            rows_with(label=None), "label=1",
            'the rows given, row 4: "label" is missing; fill it in, or name another column with --by',
        ),
        (
            rows_with(made=" "), "made",
            'the rows given, row 4: "made" is missing; fill it in, or name another column with --by',
        ),
        (ROWS, "kind", 'the rows given, row 1: "kind" is missing; fill it in, or name another column with --by'),
        (
            rows_with(made=["x"]), "made",
            'the rows given, row 4: "made" holds a list where text or a whole number is wanted; '
            "name another column with --by",
        ),
    ],
)  # fmt: skip
def test_what_parts_nothing_is_refused_in_one_sentence(rows: list[dict[str, Any]], by: str, says: str) -> None:
    column, equals, value = by.partition("=")

    def asked() -> None:
        found = read(rows, by=column)
        parted(found, value) if equals else classed(found)

    with pytest.raises(InputError) as refused:
        asked()
    assert str(refused.value) == says
