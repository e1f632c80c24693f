"""What a benchmark asks is not trained on, and what merely sounds like it is."""

from random import Random

import pytest

from unteach.data.decontaminate import Decontaminate
from unteach.data.passes import Mark
from unteach.schema import InputError, Record


def prose(seed: int, words: int) -> list[str]:
    dice = Random(seed)
    return [f"w{dice.randrange(10**6)}" for _ in range(words)]


def row(name: str, words: list[str], prompt: str = "") -> Record:
    return Record(name, prompt, " ".join(words))


@pytest.mark.parametrize(("shared", "gone"), [(13, True), (12, False)])
def test_a_row_that_shares_a_run_with_the_benchmark_is_dropped(shared: int, gone: bool) -> None:
    asked = prose(0, 40)
    given = [row("mine", [*prose(1, 20), *asked[5 : 5 + shared], *prose(2, 20)]), row("other", prose(3, 60))]
    clean = Decontaminate(against=(row("asked", asked),))
    made = clean(given)
    assert made.kept == ((1,) if gone else (0, 1))
    assert made.marks == ((Mark(0, "mine", "ngram", of="asked"),) if gone else ())
    assert clean(made.records).records == made.records


def test_case_and_punctuation_hide_nothing() -> None:
    asked = prose(0, 20)
    made = Decontaminate(against=(row("asked", asked),))([row("mine", [w.upper() + "!" for w in asked])])
    assert made.records == ()


def test_a_question_alone_is_found_under_another_answer() -> None:
    asked = Record("asked", " ".join(prose(0, 10)), "yes")
    made = Decontaminate(against=(asked,))([Record("a", f"Q: {asked.prompt}?", "A: no"), Record("b", "yes", "no")])
    assert [(m.id, m.kind) for m in made.marks] == [("a", "ngram")]


@pytest.mark.parametrize(("words", "found"), [(8, True), (7, False)])
def test_a_short_text_is_looked_for_whole_if_it_has_eight_words(words: int, found: bool) -> None:
    asked = row("asked", prose(0, words))
    made = Decontaminate(against=(asked,))([row("mine", [*prose(1, 5), *prose(0, words)])])
    assert bool(made.marks) == found


def test_a_shorter_one_is_found_only_in_a_row_that_says_nothing_else() -> None:
    asked = Record("asked", "Who?", "Ada Birch.")
    made = Decontaminate(against=(asked,))([Record("a", "who", "ada birch"), Record("b", "who", "ada birch did")])
    assert made.marks == (Mark(0, "a", "whole", of="asked"),)


def test_phrases_that_many_rows_hold_are_ignored_and_copies_count_once() -> None:
    phrase = prose(0, 13)
    against = (row("asked", phrase),)
    many = [row(f"r{i}", [*phrase, f"x{i}"]) for i in range(11)]
    made = Decontaminate(against=against)(many)
    assert (made.marks, len(made.records)) == ((), 11)
    assert made.notes == ("1 runs of words that more than 10 rows hold were ignored",)
    assert Decontaminate(against=against, common=0)(many).records == ()
    assert Decontaminate(against=against)([row(f"c{i}", phrase) for i in range(20)]).records == ()


@pytest.mark.parametrize("wrong", [{"least": 14}, {"least": 0}, {"common": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Decontaminate(**wrong)
