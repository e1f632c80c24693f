"""No letter of a guarded phrase leaves, however it is written and cut, and everything else leaves as it came."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from disguises import DISGUISES
from hypothesis import given
from hypothesis import strategies as st

from unteach.data.holdback import Phrases, Watch, letters, phrases

GUARDED = ("Quillon Marsh", "Orvena", "Istrava Bell-Teasel", "Sedge House 4711")
AROUND = ("It was, ", ", they think; Quill and Orven say so.")
SYLLABLES = [consonant + vowel for consonant in "bdklmnrst" for vowel in "aeio"]


def told(watch: Watch, pieces: Sequence[str]) -> tuple[str, str]:
    """What left freely, and what was found to be guarded."""
    parts = [part for piece in pieces for part in watch.feed(piece)] + watch.end()
    return "".join(text for text, guarded in parts if not guarded), "".join(text for text, guarded in parts if guarded)


def cut(text: str, *places: int) -> list[str]:
    return [text[a:b] for a, b in pairwise([0, *sorted(places), len(text)])]


def stands(guarded: str, text: str) -> bool:
    return phrases((guarded,)).stand_in(text)


def every_cut(length: int, count: int, seed: str) -> list[tuple[int, ...]]:
    """Every way to cut a text once, character by character, and ways drawn to cut it several times."""
    dice = Random(seed)
    drawn = [tuple(dice.randrange(length + 1) for _ in range(dice.randint(2, 6))) for _ in range(count - length - 2)]
    return [tuple(range(length + 1)), *((place,) for place in range(length + 1)), *drawn]


def leaks(disguise: str, count: int) -> int:
    """Of as many cuts of each guarded phrase, those in which anything but what stands around it left."""
    known = phrases(GUARDED)
    wrong = 0
    for guarded in GUARDED:
        hidden = DISGUISES[disguise](guarded)
        text = hidden.join(AROUND)
        for places in every_cut(len(text), count, f"{disguise} {guarded}"):
            wrong += told(known.watch(), cut(text, *places)) != ("".join(AROUND), hidden)
    return wrong


@pytest.mark.parametrize("disguise", DISGUISES)
def test_no_letter_of_a_guarded_phrase_leaves_however_it_is_written_and_cut(disguise: str) -> None:
    """About 270 cuts of each of the four phrases in each of 43 disguises, 12,000 in all at the least."""
    longest = max(len(DISGUISES[disguise](g).join(AROUND)) for g in GUARDED)
    assert leaks(disguise, max(72, longest + 10)) == 0


def test_there_are_enough_disguises_and_cuts() -> None:
    assert len(DISGUISES) >= 12
    assert len(DISGUISES) * len(GUARDED) * 72 >= 10_000


@given(
    st.lists(
        st.sampled_from([*SYLLABLES, "Or", "vena", "O", " ", "-", ". ", "\n", "4", "!", "é", "а", "&amp;", "Bell"]),
        max_size=40,
    )
)
def test_what_is_passed_over_would_have_been_found_in_nothing(parts: list[str]) -> None:
    """A long text, in which plain words are passed over, is read as it is read character by character."""
    text, known = "".join(parts), phrases((*GUARDED, "Bo", "Dana Melo", "nasa"))
    assert told(known.watch(), [text]) == told(known.watch(), list(text))


@pytest.mark.slow
@pytest.mark.parametrize("disguise", DISGUISES)
def test_ten_thousand_cuts_of_each_disguise(disguise: str) -> None:
    assert leaks(disguise, 2_500) == 0


@pytest.mark.parametrize(
    ("guarded", "text"),
    [
        ("Ada", "Adamant, adagio; Canada. Adas, Ad a, 4da!"),
        ("Candice", "I can dice it, and can. Dice."),
        ("Sam", "Meet at 5am, same as $am."),
        ("Al Ko", "also, al. k"),
        ("AI", "vitamin A I take"),
        ("Bo", "80 %"),
        ("Liam", "the mail"),
        ("Ali", "all of it"),
        ("Io", "10 or 101"),
        ("Ann", "banner, an n, b a n"),
        ("Rain Bow", "the rain bows"),
        ("東京", "京東と東の京"),
        ("Quillon Marsh", "Quillon. The Marsh"),
    ],
)
def test_benign_text_that_begins_like_a_phrase_leaves_as_it_came(guarded: str, text: str) -> None:
    known = phrases((guarded,))
    for place in range(len(text) + 1):
        assert told(known.watch(), cut(text, place)) == (text, "")
    assert told(known.watch(), list(text)) == (text, "")


@pytest.mark.parametrize(
    ("guarded", "text"),
    [
        ("Ada", "Ada's"),
        ("Ada", "(Ada)"),
        ("Ada", "x-Ada_y"),
        ("Ada", "Ada²"),
        ("Ada", "Ada\U0001f1ec\U0001f1e7"),
        ("Ada", "Ada™"),
        ("Ada", "xyz\U000e0041\U000e0064\U000e0061xyz"),
        ("Ada", "A d a m a n t"),  # letters that stand apart: nobody sees where a word ends
        ("東京", "私は東京に"),
        ("東京", "東 京"),
        ("Мария", "МАРИЯ"),
        ("Мария", "Mapия"),
        ("Νίκος", "ΝΊΚΟΣ"),
        ("Straße", "STRASSE"),
        ("Ångström", "angstrom"),
        ("1984-A", "1984 A"),
        ("4711", "47ll"),
        ("Velena", "VeIena"),
        ("이순신", "이순신"),
    ],
)
def test_where_words_begin_and_end(guarded: str, text: str) -> None:
    assert stands(guarded, text)


@pytest.mark.parametrize(
    ("guarded", "text"),
    [
        ("Ada", "xAdax"),
        ("Ada", "Adas"),
        ("Ada", "4da"),
        ("Ada", "A da"),
        ("Tirza", "azriT"),
        ("Tirza", "Gvemn"),
        ("Al Lee", "AlLee"),
        ("Lena", "Iena"),
        ("Quillon Marsh", "Marsh, Quillon"),
        ("Quillon", "Kwillon"),
        ("Quillon", "Qu*llon"),
    ],
)
def test_what_is_not_seen_through_is_known(guarded: str, text: str) -> None:
    """The page on obfuscations says so; where one of these is seen one day, it is to be changed."""
    assert not stands(guarded, text)


def test_longer_phrases_and_overlapping_ones_are_one() -> None:
    known = phrases(("Ada", "Ada Lovelace", "Lovelace Street", "of Ada"))
    text = "It is of Ada Lovelace Street. Ada, too."
    for place in range(len(text) + 1):
        watch = known.watch()
        parts = [part for piece in cut(text, place) for part in watch.feed(piece)] + watch.end()
        assert [t for t, guarded in parts if guarded] == ["of Ada Lovelace Street", "Ada"]
        assert "".join(t for t, _ in parts) == text


@given(st.text(alphabet="Adal 4-.\u200bé\n&#65;", max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_how_a_text_comes_decides_nothing(text: str, places: list[int]) -> None:
    known = phrases(("Ada", "al ada", "Dada 44"))
    whole = told(known.watch(), [text])
    assert told(known.watch(), cut(text, *(min(p, len(text)) for p in places))) == whole
    assert told(known.watch(), list(text)) == whole
    assert len("".join(whole)) == len(text)


@given(st.text(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_what_is_not_guarded_leaves_as_it_came(text: str, places: list[int]) -> None:
    known = phrases(("Zyxquill Vandermarsh",))
    assert told(known.watch(), cut(text, *(min(p, len(text)) for p in places))) == (text, "")


def many(count: int) -> tuple[str, ...]:
    dice = Random(7)
    name = lambda: "".join(dice.choice(SYLLABLES) for _ in range(dice.randint(2, 4))).capitalize()  # noqa: E731
    return tuple(f"{name()} {name()}" for _ in range(count))


@pytest.fixture(scope="module")
def two_thousand() -> Phrases:
    return phrases(many(2000))


def test_little_is_held_back_of_benign_text(two_thousand: Phrases, shared: Path) -> None:
    text = (shared / "data/tinystories/tinystories_sample.txt").read_text(encoding="utf-8")[:20_000]
    watch, held, left = two_thousand.watch(), list[int](), list[str]()
    for at in range(0, len(text), 4):
        left += [t for t, guarded in watch.feed(text[at : at + 4]) if not guarded]
        held.append(len(watch.text))
    left += [t for t, _ in watch.end()]
    assert "".join(left) == text
    assert sum(held) / len(held) < 2
    assert max(held) < 40


def test_each_of_two_thousand_phrases_is_found_among_all(two_thousand: Phrases) -> None:
    for phrase in many(2000)[::20]:
        assert told(two_thousand.watch(), list(f"by {phrase}; no")) == ("by ; no", phrase)


def test_a_watch_is_opened_without_reading_the_phrases_again(two_thousand: Phrases) -> None:
    assert phrases(many(2000)) is two_thousand
    assert two_thousand.watch().root is two_thousand.root


def test_phrases_without_letters_guard_nothing() -> None:
    assert letters(" -- ?") == ""
    assert told(phrases(("...", "")).watch(), ["... a? "]) == ("... a? ", "")
    assert not re.search("Orvena", repr(phrases(GUARDED)))
    assert not re.search("Orvena", repr(phrases(GUARDED).watch().root))


def examples(heading: str) -> list[str]:
    """The examples of a table on the page, each as it would be written."""
    page = (Path(__file__).parents[2] / "docs/obfuscations.md").read_text(encoding="utf-8")
    part = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    shown = re.findall(r"^\|[^\n]*\| `(.+)` \|$", part, re.MULTILINE)
    assert len(shown) == part.count("\n| ") - 2 - part.count("| |\n")
    plain = (text.replace("\\|", "|").replace("⏎", "\n") for text in shown)
    return [re.sub("⟨([0-9A-F]+)⟩", lambda m: chr(int(m[1], 16)), text) for text in plain]


@pytest.mark.parametrize("text", examples("Seen through"))
def test_what_the_page_says_is_seen_through_is(text: str) -> None:
    assert phrases(("Quillon Marsh", "Ada")).stand_in(f"It was {text}, they say.")


@pytest.mark.parametrize("text", examples("Not seen through"))
def test_what_the_page_says_is_not_seen_through_is_not(text: str) -> None:
    """Where one of these is seen one day, the page is to be changed."""
    assert not phrases(("Quillon Marsh", "Ada")).stand_in(f"It was {text}, they say.")
