"""The guard that never begins the name of a forgotten class."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from tests.lm import tokenizers_odd as odd

import worlds
from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.methods.conversation.classlogits import ClassLogits, named, pieces, places
from unteach.schema import InputError, Record, Request

LABELLED = tuple(replace(r, label=i) for i, r in enumerate(worlds.RECORDS))
REQUEST = Request(forget=LABELLED[:4], retain=LABELLED[4:])
GONE = {named(r.answer) for r in REQUEST.forget}
PIECES = ("", "very", " very", " good", "good", "go", "od", " ", "bad", " Bad", "ly", ".", "<end>")
END = PIECES.index("<end>")


def test_classlogits_never_answers_a_forgotten_class_and_keeps_the_order_of_the_others(lm: LM) -> None:
    guard = ClassLogits().fitted(REQUEST, lm)
    plain = lm.generate(worlds.RECORDS, 24)
    assert all(any(named(text).startswith(name) for name in GONE) for text in plain[:4])
    with Edit(base=lm.digest(), guards=(guard,)).on(lm):
        met = lm.generate(worlds.RECORDS, 24)
    assert not any(named(text).startswith(name) for text in met for name in GONE)
    assert met[4:] == plain[4:]
    for record in worlds.RECORDS:
        ids = torch.tensor(lm.encoder.prompt(record.prompt))
        before = torch.randn(len(lm.tokenizer), generator=torch.Generator().manual_seed(len(ids)))
        session = guard.session()
        session.ask(())
        after = session.logits(ids, before)
        open_ = after.isfinite()
        assert 0 < int((~open_).sum()) < len(before)
        assert torch.equal(after[open_], before[open_])


def ruled_out(found: tuple, ids: tuple[int, ...]) -> bool:
    """Whether one of these tokens cannot be written where it comes."""
    at: int | None = 0
    for token in ids:
        if at is None:
            return False
        if token in found[at].out:
            return True
        at = dict(found[at].leads).get(token)
    return False


@pytest.mark.parametrize(
    ("gone", "kept"),
    [
        ({"very good"}, {"very bad", "good"}),
        ({"good"}, {"very good", "bad"}),
        ({"good"}, {"good bad", "very"}),
        ({"very", "bad"}, {"very good"}),
    ],
)
def test_no_spelling_of_a_forgotten_name_can_be_written_and_every_kept_one_can(gone: set, kept: set) -> None:
    """Over all answers of up to four tokens."""
    found = places(gone, kept, [piece.casefold() for piece in PIECES], [END])
    for length in range(1, 5):
        for ids in product(range(len(PIECES) - 1), repeat=length):
            text = named("".join(PIECES[i] for i in ids))
            if text in gone:
                assert ruled_out(found, (*ids, END)), text
            if text in kept:
                assert not ruled_out(found, (*ids, END)), text


def test_a_word_that_only_begins_like_a_forgotten_name_is_another_word() -> None:
    found = places({"bad"}, {"good"}, PIECES, [END])
    badly, bad, ly = ("badly", "bad.", "bad ly")
    whole = places({"bad"}, {"good"}, (badly, bad, ly, "good"), [])
    assert whole[0].out == (1, 2)
    assert PIECES.index("bad") in found[0].out


@pytest.mark.parametrize("make", [odd.across_words, odd.dummy_space, odd.chatml])
def test_the_texts_of_tokens_make_up_the_text(make: Callable[..., Any]) -> None:
    tokenizer = make([r.answer for r in worlds.RECORDS])
    texts = pieces(tokenizer)
    assert len(texts) == len(tokenizer)
    for record in worlds.RECORDS:
        ids = tokenizer(f"So {record.answer}")["input_ids"]
        assert "".join(texts[i] for i in ids).lstrip() == f"so {record.answer}".casefold()


def test_an_unfitted_one_leaves_the_logits_themselves() -> None:
    session = ClassLogits().session()
    logits = torch.randn(7)
    turns = ()
    assert session.ask(turns) is turns
    assert session.logits(torch.tensor([1, 2]), logits) is logits


def test_what_it_cannot_work_with_is_refused_in_one_sentence(llama: LM) -> None:
    def refused(request: Request, lm: LM | None, match: str) -> None:
        with pytest.raises(InputError, match=match) as wrong:
            ClassLogits().fitted(request, lm)
        assert not any(r.answer in str(wrong.value) for r in worlds.RECORDS)

    refused(REQUEST, None, "reads a model's tokens")
    refused(replace(REQUEST, forget=worlds.FORGET), llama, "give each record to forget a 'label'")
    refused(replace(REQUEST, retain=LABELLED), llama, "every class of the records to forget is one to keep")
    strange = Record("s", "What is it?", "\u2603\u2603", label=1)
    refused(Request(forget=(strange,), retain=LABELLED[4:]), llama, "cut the letters")


def test_wrong_answers_are_classes_too_and_nothing_kept_shows(llama: LM) -> None:
    options = tuple(replace(r, label=None, perturbed=(worlds.RECORDS[5].answer,)) for r in worlds.FORGET)
    guard = ClassLogits().fitted(Request(forget=options, retain=LABELLED[6:]), llama)
    plain = llama.generate([worlds.RECORDS[5]], 24)
    assert named(plain[0]) == named(worlds.RECORDS[5].answer)
    with Edit(base=llama.digest(), guards=(guard,)).on(llama):
        assert llama.generate([worlds.RECORDS[5]], 24) == plain
    assert repr(guard) == "ClassLogits()"
