"""What a character may be read as."""

import sys
import unicodedata

import pytest
from disguises import GREEK_CYRILLIC, SMALL_CAPITALS
from hypothesis import given
from hypothesis import strategies as st

from unteach.data.escapes import symbols
from unteach.data.lookalikes import GAPS, LOOKS, plainly, readings


def plain(character: str) -> str:
    return readings(character)[0].units


@pytest.mark.parametrize("latin", "abcdefghijklmnopqrstuvwxyz")
def test_a_letter_is_read_in_every_alphabet_of_its_own_shape(latin: str) -> None:
    at = ord(latin) - ord("a")
    bases = {0x41, 0x61, 0xFF21, 0xFF41, 0x1D400, 0x1D41A, 0x1D5D4, 0x1D5EE, 0x1D670, 0x1D68A, 0x24B6, 0x24D0, 0x1F150}
    assert {plain(chr(base + at)) for base in bases} == {latin}
    assert {plain(character) for character in LOOKS.get(latin, latin)} == {latin}
    assert {plain(character.upper()) for character in LOOKS.get(latin, "") if len(character.upper()) == 1} <= {latin}


def test_no_character_looks_like_two_letters() -> None:
    every = "".join(LOOKS.values())
    assert len(every) == len(set(every))
    assert not any(character.isascii() for character in every)


def test_tables_written_for_tests_are_read_back() -> None:
    for table in (GREEK_CYRILLIC, SMALL_CAPITALS):
        assert all(plain(chr(made)) == chr(letter).lower() for letter, made in table.items())


@pytest.mark.parametrize(
    ("characters", "units"),
    [
        ("\u0301\u0336\u20dd\u0488", ""),
        ("\u200b\u200d\ufeff\u00ad\u2066\ufe0f\U000e0101\x00", ""),
        (" \u00a0\u3000\t\u2800", " "),
        ("\n\r\u2028", "\n"),
        ("-\u2010\u2014\u2212", "-"),
        ("._,'’…\U0001f642\u00b7", "."),
        ("éÉｅ𝐞Еε℮"[:-1], "e"),
        ("٣３³③", "3"),
    ],
)
def test_marks_gaps_and_forms(characters: str, units: str) -> None:
    assert {plain(character) for character in characters} == {units}


def test_digits_and_signs_have_free_readings_beside_their_own() -> None:
    assert [(r.units, r.free) for r in readings("4")] == [("4", False), ("a", True)]
    assert [(r.units, r.free) for r in readings("$")] == [(".", False), ("s", True)]
    assert ("l", True) in readings("I")
    assert ("o", True) in readings("０")
    assert (".", False) in readings("²")  # a footnote
    assert not any(r.free for c in "abcdefgz éж東" for r in readings(c))


def test_signs_for_vowels_and_voicing_are_letters_of_their_own() -> None:
    assert plain("\u093e") == "\u093e"
    assert plain("か") != plain("が")
    assert all(unit in GAPS or unit == "東" for unit in plain("東"))


def test_every_character_has_a_reading() -> None:
    some = [*range(0x3000), *range(0x3000, sys.maxunicode + 1, 97)]
    for code in some:
        first, *others = readings(chr(code))
        assert not first.free
        assert all(unit in GAPS or unit == unit.casefold() for reading in (first, *others) for unit in reading.units)


@given(st.text(max_size=60))
def test_every_plain_letter_points_back_to_what_it_was_read_from(text: str) -> None:
    found = plainly(text)
    for place, unit in enumerate(found.text):
        start, end = found.back(place, place + 1)
        units = plain(text[start:end])
        assert unit in units or (unit == " " and set(units) & GAPS)
    assert "  " not in found.text


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("&#65;", "A"),
        ("&#x41;", "A"),
        ("&eacute;", "é"),
        ("&shy;", "\u00ad"),
        ("%41", "A"),
        ("%C3%A9", "é"),
        ("%E2%80%8B", "\u200b"),
        ("%F0%9D%90%80", "𝐀"),
        ("\\u0041", "A"),
        ("\\x41", "A"),
    ],
)
def test_what_is_written_out_is_read_as_what_it_shows(written: str, shown: str) -> None:
    assert list(symbols(f"x{written}y", ended=False))[1] == (readings(shown), len(written))
    for cut in range(1, len(written)):
        assert sum(s.length for s in symbols(written[:cut], ended=False)) == 0, "it may still become one"


@pytest.mark.parametrize(
    "text", ["AT&T is", "a & b", "100% cure", "50%ad", "&nosuch; x", "C:\\users", "a < b", "<x>", "&#;", "%C3%x"]
)
def test_what_only_begins_like_one_is_read_as_it_stands(text: str) -> None:
    assert [s.length for s in symbols(text, ended=True)] == [1] * len(text)


@given(st.text(alphabet="&%\\<>#;xuA4c1/b ", max_size=40))
def test_symbols_cover_a_text_however_it_ends(text: str) -> None:
    assert sum(s.length for s in symbols(text, ended=True)) == len(text)
    assert len(text) - sum(s.length for s in symbols(text, ended=False)) <= 33
    assert unicodedata.normalize("NFC", text) == text  # the alphabet hides nothing else
