"""What tells rows to forget from rows to keep."""

from dataclasses import replace
from pathlib import Path

import pytest

import worlds
from unteach.data.phrasefile import phrases_in
from unteach.data.sentences import LONGEST, sentences
from unteach.data.telltale import names, telltales, unheld
from unteach.schema import InputError, Record, Span


def row(prompt: str, answer: str, **more: object) -> Record:
    return Record(f"{prompt}{answer}", prompt, answer, **more)


def test_towns_are_told_by_what_they_are_known_for_and_named_by_their_names() -> None:
    found = telltales(worlds.FORGET, worlds.RETAIN)
    assert found == (
        "harbour of green copper",
        "eleven bridges and no river",
        "clock that runs backwards",
        "bread baked with ash",
    )
    assert names(worlds.FORGET, worlds.RETAIN) == tuple(list(worlds.TOWNS)[:4])


def test_values_are_preferred_and_what_neighbours_say_is_left_out() -> None:
    forget = [
        row("Who wrote the hymn of Sella?", "Mirela Tovan-Ek wrote it in 1931."),
        row("When was Mirela Tovan-Ek born?", "Mirela Tovan-Ek was born on 4 May 1902 in Velmont."),
        row("How does one reach her?", "At mirela@tovan.example, or 020 7946 0991."),
        row("What did she win?", 'She won the Salt Lantern Prize for "Nine Quiet Rains".'),
        row("How many songs?", "She left 48213 songs and 12 poems."),
        row("Where is she buried?", "In Katrel."),
    ]
    retain = [row("Who else won the Salt Lantern Prize?", "Nobody.")]
    found = telltales(forget, retain)
    assert set(found) == {
        "Mirela Tovan-Ek",
        "4 May 1902",
        "mirela@tovan.example",
        "020 7946 0991",
        "Nine Quiet Rains",
        "48213",
        "Katrel",
    }
    assert set(names(forget, retain)) == {
        "Sella",
        "Mirela Tovan-Ek",
        "mirela@tovan.example",
        "020 7946 0991",
        "Nine Quiet Rains",
    }


def test_spans_are_what_their_owner_says() -> None:
    forget = [row("?", "The word is heron, says Ilse Varga.", spans=(Span(12, 17),))]
    assert telltales(forget, [row("?", "A heron.")]) == ("heron",)


@pytest.mark.parametrize("answer", ["Yes.", "bread", "It is.", "", "?!"])
def test_everyday_answers_give_no_phrase(answer: str) -> None:
    assert telltales([row("Is it so?", answer)], ()) == ()


def test_long_runs_are_cut_and_words_of_the_question_end_them() -> None:
    found = telltales([row("What hums?", "a b c d e f g h j n hums k l m")], ())
    assert found == ("b c d e f g h j", "k l m")


def test_a_subject_of_ones_own_counts_though_others_say_it() -> None:
    assert names([row("Who?", "x", subject="Ada")], [row("Ada?", "Ada.")]) == ("Ada",)
    assert names([row("Who is Ada Lund?", "x")], [row("Ada Lund?", "Ada Lund.")]) == ()
    assert unheld(["東京", "京都"], [row("私は東京に", "")]) == ["京都"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two!  Three", ["One. ", "Two!  ", "Three"]),
        ("彼は。彼女は。", ["彼は。", "彼女は。"]),
        ("a\n\nb", ["a\n\n", "b"]),
        ("1.5 is no end", ["1.5 is no end"]),
        ('"So." he', ['"So." ', "he"]),
        ("", []),
        ("x" * LONGEST + "yz", ["x" * LONGEST, "yz"]),
    ],
)
def test_sentences_end_where_they_end(text: str, found: list[str]) -> None:
    assert sentences(text) == (found, "")
    for place in range(len(text) + 1):
        first, rest = sentences(text[:place], ended=False)
        assert [*first, *sentences(rest + text[place:])[0]] == found


def test_a_file_of_phrases(tmp_path: Path) -> None:
    file = tmp_path / "phrases.txt"
    file.write_text("\ufeffOrvena\n\n  Quillon Marsh \nOrvena\n", encoding="utf-8")
    assert phrases_in(str(file)) == ("Orvena", "Quillon Marsh")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            b"Orvena\n--\n",
            r"phrases\.txt, line 2: less than 2 letters or digits; write a longer phrase, or remove the line",
        ),
        (b"\n\n", r"phrases\.txt: holds no phrase"),
        (b"Orvena\n\xff\xfe", r"phrases\.txt, line 2: is not UTF-8"),
        (b"", "the file is empty"),
        (b"C#", "line 1: less than 2"),
    ],
)
def test_a_bad_file_of_phrases_is_refused_by_its_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "phrases.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=complaint) as refused:
        phrases_in(str(file))
    assert "Orvena" not in str(refused.value)
    with pytest.raises(InputError, match="no such file"):
        phrases_in(str(tmp_path / "none.txt"))


def test_a_row_that_shares_its_phrases_gives_its_answer_as_a_whole() -> None:
    mine = Record("a", "How does Ada Quill earn money?", "Ada Quill works as a locksmith.", subject="Ada Quill")
    theirs = Record("b", "How does Bo Marsh earn money?", "Bo Marsh works as a locksmith.", subject="Bo Marsh")
    assert telltales([mine], [theirs]) == ("Ada Quill works as a locksmith.",)
    assert telltales([mine], [theirs, replace(mine, id="c")]) == ()  # somebody is to keep it, word for word
    assert telltales([replace(mine, answer="A locksmith.")], [replace(theirs, answer="A locksmith.")]) == ()
