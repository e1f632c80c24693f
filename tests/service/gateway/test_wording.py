"""The pieces of an answer joined are its text; no piece holds half a character, or anything of a text that ends it."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from unteach.lm.continuous import decoded
from unteach.lm.encoder import Encoder, Template
from unteach.lm.model import LM
from unteach.service.gateway.wording import HALF, WINDOW, Wording

ODD = "Ærøskøbing — 東京都 😀👩‍👩‍👧 naïve \t\n  two  spaces ñ𝄞 "


def heard(encoder: Encoder, ids: Sequence[int], until: Sequence[str] = ()) -> list[str]:
    """The pieces, of which the first tells of one token."""
    wording, pieces = Wording(encoder, until), []
    for n in range(1, len(ids) + 1):
        pieces.append(wording.hear(ids[:n], False))
        if wording.ended:
            return pieces
    return [*pieces, wording.hear(ids, True)]


def spoken(encoder: Encoder, text: str) -> list[int]:
    return list(encoder.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.fixture(scope="module")
def pieces_with_spaces() -> Encoder:
    """A tokenizer that writes spaces as marks, swallows the first one, and spells rare characters in bytes."""
    vocabulary = [("<unk>", 0.0), ("</s>", 0.0), *((f"<0x{n:02X}>", -9.0) for n in range(256))]
    vocabulary += [(word, -3.0) for word in ("▁", "▁the", "▁lake", "▁is", "a", "e", "n", "▁na", "ve", "▁deep")]
    inner = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return Encoder(PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>"), Template(), 512)


@given(text=st.text(st.sampled_from("aé東😀 \n,"), max_size=60) | st.text(max_size=30))
@settings(max_examples=80, deadline=None)
def test_pieces_joined_are_the_text_and_hold_no_half_character(llama: LM, text: str) -> None:
    ids = spoken(llama.encoder, text)
    pieces = heard(llama.encoder, ids)
    assert "".join(pieces) == decoded(llama.encoder, ids)
    assert HALF in text or not any(HALF in piece for piece in pieces)


@given(ids=st.lists(st.integers(0, 419), max_size=3 * WINDOW))
@settings(max_examples=60, deadline=None)
def test_any_tokens_at_all_are_told_as_they_are_decoded(llama: LM, ids: list[int]) -> None:
    assert "".join(heard(llama.encoder, ids)) == decoded(llama.encoder, ids)


def test_text_leaves_as_it_comes_and_not_at_the_end(llama: LM) -> None:
    ids = spoken(llama.encoder, "What is Orvena known for?")
    pieces = heard(llama.encoder, ids)
    assert pieces[:-1] == [decoded(llama.encoder, [token]) for token in ids]
    assert pieces[-1] == ""


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_bytes_that_are_no_characters_are_told_as_they_are_decoded(
    pieces_with_spaces: Encoder, data: st.DataObject
) -> None:
    euro = [pieces_with_spaces.tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in "€".encode()]
    parts = data.draw(st.lists(st.sampled_from([euro, euro[:1], euro[:2], [259], [262]]), max_size=WINDOW))
    ids = [token for part in parts for token in part]
    assert "".join(heard(pieces_with_spaces, ids)) == decoded(pieces_with_spaces, ids)


@pytest.mark.parametrize("repeats", [1, 8])
def test_marks_for_spaces_and_characters_in_bytes(pieces_with_spaces: Encoder, llama: LM, repeats: int) -> None:
    for encoder, text in ((pieces_with_spaces, "the lake is 東京 deep 😀 naïve " * 3), (llama.encoder, ODD)):
        ids = spoken(encoder, text * repeats)
        pieces = heard(encoder, ids)
        assert "".join(pieces) == decoded(encoder, ids) == text * repeats
        assert not any(HALF in piece for piece in pieces)


def test_only_the_last_tokens_of_a_long_answer_are_decoded(llama: LM) -> None:
    ids, widths = spoken(llama.encoder, ODD * 20), list[int]()

    def decode(ids: Sequence[int], **settings: Any) -> str:
        widths.append(len(ids))
        return str(llama.tokenizer.decode(ids, **settings))

    told = SimpleNamespace(decode=decode, convert_ids_to_tokens=llama.tokenizer.convert_ids_to_tokens)
    counting: Any = SimpleNamespace(tokenizer=told)
    assert "".join(heard(counting, ids)) == ODD * 20
    assert len(ids) > 6 * WINDOW
    assert max(widths) < 2 * WINDOW


def characters(text: str) -> tuple[Any, list[int]]:
    """A tokenizer of characters, and a text in it."""
    tokenizer = SimpleNamespace(decode=lambda ids, **_: "".join(map(chr, ids)), convert_ids_to_tokens=chr)
    return SimpleNamespace(tokenizer=tokenizer), list(map(ord, text))


@given(
    text=st.text("ab€", max_size=24),
    until=st.lists(st.text("ab€", min_size=1, max_size=4), max_size=3),
    strides=st.lists(st.integers(1, 5), min_size=24, max_size=24),
)
@settings(max_examples=200, deadline=None)
def test_nothing_of_a_text_that_ends_an_answer_leaves(text: str, until: list[str], strides: list[int]) -> None:
    encoder, ids = characters(text)
    wording, told, at = Wording(encoder, until), "", 0
    whole = text[: min((text.find(stop) for stop in until if stop in text), default=len(text))]
    for stride in strides:
        at += stride
        told += wording.hear(ids[:at], False)
        assert whole.startswith(told)
        assert wording.ended <= any(stop in text[:at] for stop in until)
    assert told + wording.hear(ids, True) == whole
    assert wording.ended == any(stop in text for stop in until)


def test_what_may_begin_an_end_is_held_back_and_then_let_go() -> None:
    encoder, ids = characters("one\n\ttwo\n\nthree")
    pieces = heard(encoder, ids, ["\n\n"])
    assert pieces == ["o", "n", "e", "", "\n\t", "t", "w", "o", "", ""]
