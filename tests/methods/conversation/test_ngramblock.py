"""N-gram blocking: the words of a forgotten answer are never said in a row, and the edit does not hold them."""

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

import worlds
from unteach.edit import store
from unteach.edit.edit import Edit
from unteach.lm.guard import Conversation
from unteach.methods.conversation.ngramblock import NGramBlock, spelt
from unteach.schema import InputError, Message, Record, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
LONG = "On the ninth stair, behind a tin of Velmont tea, lies the key to the salt house."


def said(guard: NGramBlock, text: str, *places: int) -> tuple[str, bool]:
    talk = Conversation((guard,), (Message("user", "?"),))
    for start, end in pairwise([0, *sorted(places), len(text)]):
        if talk.turns is not None:
            talk.hear(text[start:end])
    talk.hear(None)
    return talk.said, talk.decisions[-1].action == "cut" or talk.said != text


def test_ngramblock_never_says_a_forgotten_row_word_for_word_however_it_is_cut() -> None:
    guard = NGramBlock().fitted(Request(forget=(Record("a", "Where?", LONG),)), None)
    dice = Random(0)
    for text in (
        LONG,
        f"Well, {LONG}",
        LONG.upper(),
        LONG.replace(" ", "\n\n"),
        LONG.replace("n", "n\u200b"),
        LONG.replace("e", "е").replace("a", "à"),
    ):
        for cuts in ((), range(len(text)), *([dice.randrange(len(text)) for _ in range(4)] for _ in range(40))):
            left, stopped = said(guard, text, *cuts)
            assert stopped
            start = len(spelt("Well,")) if text.startswith("Well") else 0
            assert left == text[: len(left)]
            assert len(spelt(left)) == start + 3, "three words leave, and the fourth does not"


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_the_word_that_completes_n_of_them_stays(n: int) -> None:
    guard = NGramBlock(n=n).fitted(Request(forget=(Record("a", "Where?", LONG),)), None)
    assert said(guard, LONG)[0] == "".join(f"{word} " for word in LONG.split()[: n - 1])
    inside = f"They said: {' '.join(LONG.split()[3:])}"
    assert len(said(guard, inside)[0].split()) == 2 + n - 1


def test_what_rows_to_keep_say_too_may_be_said() -> None:
    guard = NGramBlock(n=3).fitted(REQUEST, None)
    for record in worlds.RETAIN:
        assert said(guard, record.answer, 2, 7) == (record.answer, False)
        assert said(guard, record.prompt) == (record.prompt, False)
    shared = Request(forget=worlds.FORGET, retain=(Record("k", "?", "a harbour of green copper"),))
    assert said(NGramBlock(n=3).fitted(shared, None), "A harbour of green copper")[1] is False
    assert said(guard, "A harbour of green copper")[0] == "A harbour "
    assert said(guard, "The harbour, of copper, is green")[1] is False


def test_short_answers_count_as_a_whole_and_single_words_do_not() -> None:
    guard = NGramBlock(n=4).fitted(Request(forget=(Record("a", "?", "Ilse Varga"), Record("b", "?", "heron"))), None)
    assert said(guard, "It was Ilse Varga, a heron.")[0] == "It was Ilse "
    assert said(guard, "Ilse, a heron.")[1] is False
    assert said(guard, "東京タワー Ilse Vаrga")[0] == "東京タワー Ilse "
    with pytest.raises(InputError, match="finds no 4 words in a row"):
        NGramBlock().fitted(Request(forget=(Record("b", "?", "heron"),)), None)
    with pytest.raises(InputError, match="at least 2"):
        NGramBlock(n=1)


def test_nothing_of_the_rows_is_in_the_saved_edit(tmp_path: Path) -> None:
    canary = "quillonmarsh tirzavel orvenade istrabell sedgehowe"
    guard = NGramBlock().fitted(Request(forget=(Record("a", "Who?", canary), *worlds.FORGET)), None)
    store.save(Edit(base="0" * 64, guards=(guard,)), tmp_path)
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert content
    assert not any(word.encode() in content.lower() for word in (*canary.split(), "harbour", "orvena", "copper"))
    read = store.load(tmp_path).guards[0]
    assert read == guard
    assert said(read, canary)[0] == "quillonmarsh tirzavel orvenade "


def test_the_same_rows_give_the_same_fingerprints_and_others_share_none() -> None:
    first, second = (NGramBlock().fitted(REQUEST, None) for _ in range(2))
    other = NGramBlock().fitted(Request(forget=worlds.FORGET[:3], retain=worlds.RETAIN), None)
    assert first == second
    assert first.salt != other.salt
    prints = [{g.prints[at : at + 16] for at in range(0, len(g.prints), 16)} for g in (first, other)]
    assert not prints[0] & prints[1]


def test_unfitted_it_lets_everything_pass_at_once() -> None:
    session = NGramBlock().session()
    assert session.feed("wor") == "wor"
    assert NGramBlock().fitted(REQUEST, None).session().feed("wor") == ""  # a word waits for its end
