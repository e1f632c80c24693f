"""A checkpoint of another program becomes a folder like any other: the same tokens, the same story."""

import itertools
import json
import struct
from pathlib import Path

import pytest
import torch
from benchmarks.stories import convert, read_vocabulary

from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import Record

ODD = (
    "x", " ", "  two  spaces ", "\n\ttab\n", "naïve café – “quoted”", "日本語 and 🙂🙃", "<0x41> <unk", "▁under", "ééé\u200a\u00a0",
    "CamelCaseWORDS1234567890!?;:", "aaaaaaaaaaaaa hahahahaha thethethe", "e\u0301 \ufeff \x7f",
)  # fmt: skip


@pytest.fixture(scope="module")
def lm(stories: Path) -> LM:
    return load(stories)


@pytest.fixture(scope="module")
def texts(shared: Path) -> list[str]:
    whole = (shared / "data" / "tinystories" / "tinystories_sample.txt").read_text(encoding="utf-8")
    return [t.strip() for t in whole.split("<|endoftext|>") if t.strip()]


def slow_encoding(text: str, pieces: list[tuple[str, float]]) -> list[int]:
    """llama2.c's own rule, step by step: merge the pair of the best score, the first of equals, until none is left."""
    ids = {piece: i for i, (piece, _) in enumerate(pieces)}
    found: list[int] = []
    for letter in f" {text}":
        found += [ids[letter]] if letter in ids else [byte + 3 for byte in letter.encode()]
    while True:
        pairs = [pieces[a][0] + pieces[b][0] for a, b in itertools.pairwise(found)]
        known = [(pieces[ids[p]][1], -at) for at, p in enumerate(pairs) if p in ids]
        if not known:
            return [1, *found]
        at = -max(known)[1]
        found[at : at + 2] = [ids[pairs[at]]]


def test_it_tells_the_published_story(lm: LM) -> None:
    (story,) = lm.generate(["Once upon a time"], 64)
    assert story.startswith(
        ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball."
    )


def test_it_expects_the_stories_it_was_trained_on(lm: LM, texts: list[str]) -> None:
    batch = lm.batch([Record(str(i), "", t) for i, t in enumerate(texts[:16])])
    with torch.no_grad():
        logits, logps = lm.logits(batch), lm.run(batch).token_logps
    assert torch.isfinite(logits).all()
    assert -logps.mean().item() < 1.5  # nats a token; 1.36 where the rotary pairs lie right, 5.22 where not


def test_its_tokens_are_those_of_the_program_it_comes_from(lm: LM, shared: Path, texts: list[str]) -> None:
    pieces = read_vocabulary(shared / "data" / "stories260k" / "tok512.bin", 512)
    for text in (*ODD, *texts[:12]):
        ids = lm.tokenizer(text)["input_ids"]
        assert ids == slow_encoding(text, pieces), text
        assert lm.tokenizer.decode(ids[1:]) == text


def test_every_weight_is_there_once(stories: Path, lm: LM) -> None:
    assert sum(p.numel() for p in lm.model.parameters()) == 260_032
    assert json.loads((stories / "config.json").read_text())["tie_word_embeddings"] is True


def test_a_head_of_its_own_is_read_and_a_short_file_is_not(tmp_path: Path, shared: Path) -> None:
    vocabulary = shared / "data" / "stories260k" / "tok512.bin"
    header, count = (
        (16, 24, 2, 4, 2, -512, 8),
        512 * 16 * 2 + 2 * (16 * 2 + 16 * 16 * 2 + 8 * 16 * 2 + 24 * 16 * 3) + 16,
    )
    numbers = torch.arange(count + 8 * 4, dtype=torch.float32) / count  # and the rotations
    (tmp_path / "own.bin").write_bytes(struct.pack("<7i", *header) + numbers.numpy().tobytes())
    convert(tmp_path / "own.bin", vocabulary, tmp_path / "own")
    head = load(tmp_path / "own").model.lm_head.weight
    assert torch.equal(head.detach().flatten(), numbers[-512 * 16 :])
    (tmp_path / "short.bin").write_bytes((tmp_path / "own.bin").read_bytes()[:-4])
    with pytest.raises(SystemExit, match=r"short\.bin: \d+ bytes where its header asks for \d+; copy it again"):
        convert(tmp_path / "short.bin", vocabulary, tmp_path / "short")
