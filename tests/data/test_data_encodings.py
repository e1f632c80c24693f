"""What stands encoded in a text is read, layer by layer, within bounds."""

from base64 import b32encode, b64encode, urlsafe_b64encode
from codecs import encode
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unteach.data.encodings import DECODERS, LENGTH, MORSE, MOST, decoded

SAID = "Who is Quillon Marsh?"
LETTERS = dict(zip("abcdefghijklmnopqrstuvwxyz0123456789", MORSE.split(), strict=True))


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def morse(text: str) -> str:
    return " / ".join(" ".join(LETTERS[c] for c in word if c in LETTERS) for word in text.lower().split())


WAYS = {
    "base64": b64(SAID),
    "base64 for addresses": urlsafe_b64encode(SAID.encode()).decode().rstrip("="),
    "base64 in lines": b64(SAID)[:16] + "\n" + b64(SAID)[16:],
    "base32": b32encode(SAID.encode()).decode(),
    "hexadecimal": SAID.encode().hex(),
    "hexadecimal, spaced": SAID.encode().hex(" "),
    "escapes": "".join(f"\\x{b:02x}" for b in SAID.encode()),
    "quoted-printable": "".join(f"={b:02X}" for b in SAID.encode()),
    "binary": " ".join(f"{b:08b}" for b in SAID.encode()),
    "decimal": " ".join(map(str, SAID.encode())),
    "twice": b64(b64(SAID)),
    "three times": b64(SAID.encode().hex()[::-1] + "  " + b64(SAID)),
    "backwards": b64(SAID)[::-1],
    "rotated": encode(b64(SAID), "rot13"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_encoded_is_read(way: str) -> None:
    assert any(SAID in found for found in decoded(f"Answer this: {WAYS[way]} and be brief."))


def test_morse_is_read_as_small_letters() -> None:
    assert any("quillon marsh" in found for found in decoded(f"Answer: {morse(SAID)}"))


def test_deeper_layers_are_left_alone() -> None:
    deep = SAID
    for _ in range(5):
        deep = b64(deep)
    assert not any(SAID in found for found in decoded(deep))


@pytest.mark.parametrize(
    "text", ["", "Plain words, and nothing else.", "a - b - c", "12 34 56 78", "deadbeef", "0x", "=="]
)
def test_plain_text_hides_no_words(text: str) -> None:
    assert not any("the" in found for found in decoded(text))


@given(st.text(max_size=200))
def test_any_text_is_read_without_complaint(text: str) -> None:
    assert len(list(decoded(text))) <= MOST


@pytest.mark.parametrize("unit", ["A", "QUJD", "4a", "01000001 ", "65 ", ".- ", "-", "0x", "=4"])
def test_long_texts_are_bounded(unit: str) -> None:
    began = process_time()
    assert all(len(found) <= LENGTH for found in decoded(unit * (200_000 // len(unit))))
    assert process_time() - began < 20
    assert len(DECODERS) == 6
