"""Which tokens a marked part of an answer is made of, and what a model still has of them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from statistics import fmean

import pytest
import torch
from tests.lm import tokenizers_odd as odd
from transformers.convert_slow_tokenizer import bytes_to_unicode

import worlds
from unteach.lm.encoder import Encoder, Template
from unteach.lm.model import LM
from unteach.measure import spans
from unteach.measure.answers import ask
from unteach.measure.extraction import extraction_likelihood
from unteach.measure.spans import MARKED, REST, marks, span_accuracy, span_likelihood
from unteach.schema import Message, Record, Span

PATTERNS = ("", "[INST] {prompt} [/INST]{answer}", "{prompt}{answer}", "Q: {prompt}\nA: {answer}\n")
TOKENIZERS = {
    "byte-level": worlds.llama().tokenizer,
    "merges across words": odd.across_words(worlds.TEXTS),
    "no begin": odd.across_words(worlds.TEXTS, prefix=""),
    "appends end": odd.across_words(worlds.TEXTS, suffix=odd.END),
    "dummy space": odd.dummy_space(worlds.TEXTS),
    "chat": odd.chatml(worlds.TEXTS),
}
ANSWERS = (  # what is marked stands between bars
    "Orvena has a |harbour of green copper|.",
    "|Orvena| has a harbour of |green| copper.",
    "Её зовут |Анна Жукова|, ей |44|.",
    "电话|一二三 🦊|，住址|北京|。",
    "|all of it|",
    "a|b|",
    " leading |space | and\nline |\n|breaks",
)


def parted(text: str, **more: object) -> Record:
    parts = text.split("|")
    ends = [sum(map(len, parts[: i + 1])) for i in range(len(parts))]
    where = tuple(Span(start, end) for start, end in zip(ends[::2], ends[1::2], strict=False))
    return Record("r", "What is Orvena known for?", "".join(parts), spans=where, **more)


class Slow:
    """The same tokenizer without a word on where its tokens come from."""

    is_fast = False

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __call__(self, text: str, **how: bool) -> dict[str, list[int]]:
        return {"input_ids": self.inner(text, **how)["input_ids"]}

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


LETTERS = {letter: byte for byte, letter in bytes_to_unicode().items()}


def spelled(tokenizer: object, ids: Sequence[int]) -> list[bytes]:
    """The bytes that each token stands for."""
    byte_level = "Ġ" in tokenizer.get_vocab()

    def one(piece: str) -> bytes:
        if byte_level:
            return bytes(LETTERS[letter] for letter in piece)
        return bytes([int(piece[1:-1], 16)]) if piece.startswith("<0x") else piece.replace("▁", " ").encode()

    return [one(piece) for piece in tokenizer.convert_ids_to_tokens(list(ids))]


def by_bytes(tokenizer: object, ids: Sequence[int], record: Record) -> list[bool]:
    """A token is marked where one of its bytes is part of a marked character."""
    pieces = spelled(tokenizer, ids)
    begin = b"".join(pieces).index(record.answer.encode())
    owner = [-1] * begin + [i for i, c in enumerate(record.answer) for _ in c.encode()]
    secret = {i for s in record.spans for i in range(s.start, s.end) if not record.answer[i].isspace()}
    ends = [0, *accumulate(map(len, pieces))]
    return [any(i in secret for i in owner[a:b]) for a, b in pairwise(ends)]


@pytest.mark.parametrize("slow", [False, True], ids=["offsets", "decoding"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_token_is_marked_where_it_holds_a_byte_of_a_marked_character(name: str, pattern: str, slow: bool) -> None:
    tokenizer = TOKENIZERS[name]
    encoder = Encoder(Slow(tokenizer) if slow else tokenizer, Template(pattern), 400)
    for text in ANSWERS:
        row = encoder.row(parted(text))
        ids = row.ids[row.start : len(row.ids) - len(encoder.closing)]
        assert marks(encoder, parted(text)).tolist() == by_bytes(tokenizer, ids, parted(text))


def test_a_fast_tokenizer_is_asked_where_its_tokens_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "_by_decoding", lambda *_: pytest.fail("decoded"))
    for pattern in PATTERNS[:2]:  # behind the others an answer's first token is cut off from the question's last
        for text in ANSWERS:
            assert marks(Encoder(TOKENIZERS["byte-level"], Template(pattern), 400), parted(text)) is not None


def test_marks_of_a_plain_vocabulary_by_hand() -> None:
    encoder = Encoder(TOKENIZERS["byte-level"], Template(), 96)
    record = parted("Orvena has a |harbour| of |green| copper.")
    ids = encoder.row(record).ids[encoder.row(record).start : -1]
    pieces = [encoder.tokenizer.decode([i]) for i in ids]
    marked = [p.strip() for p, flag in zip(pieces, marks(encoder, record), strict=True) if flag]
    assert "".join(marked) == "harbourgreen"
    for odd_one in (replace(record, spans=(Span(10, 11),)), replace(record, spans=())):  # a space alone, nothing
        assert not marks(encoder, odd_one).any()


def test_marks_of_rows_that_were_cut_and_of_conversations() -> None:
    record = parted("Orvena has a |harbour| of green copper, and many more |boats| than anyone could count.")
    for tokenizer in (TOKENIZERS["byte-level"], Slow(TOKENIZERS["byte-level"])):
        whole = marks(Encoder(tokenizer, Template(), 400), record)
        for most in (10, 14, 20, 24):
            encoder = Encoder(tokenizer, Template(), most)
            row, found = encoder.row(record), marks(encoder, record)
            assert row.cut
            assert found.tolist() == whole[: len(row.ids) - row.start].tolist()
        talk = replace(record, messages=(Message("system", "Be brief."), Message("user", record.prompt)))
        assert marks(Encoder(tokenizer, Template(), 400), talk).tolist() == whole.tolist()
    bare = Encoder(TOKENIZERS["no begin"], Template(eos=False), 400)
    text = replace(record, prompt="")
    assert len(marks(bare, text)) == len(bare.row(text).ids) - 1  # the first token is predicted from nothing


def test_what_cannot_be_told_is_undefined(lm: LM) -> None:
    class Shouting(Slow):
        def decode(self, ids: list[int], **options: object) -> str:
            return self.inner.decode(ids, **options).upper()

    record = parted("Orvena has a |harbour| of green copper.")
    assert marks(Encoder(Shouting(lm.tokenizer), Template(), 96), record) is None
    hidden = LM(lm.model, Shouting(lm.tokenizer))
    assert span_accuracy(hidden, [record]) == span_likelihood(hidden, [record]) == [None]
    no_span = replace(record, spans=())
    assert span_accuracy(lm, [no_span, record])[0] is None
    assert span_likelihood(lm, [no_span, replace(record, answer="", spans=())]) == [None, None]
    whole = replace(record, spans=(Span(0, len(record.answer)),))
    assert span_accuracy(lm, [whole], REST) == span_likelihood(lm, [whole], 3, REST) == [None]


MIXED = (
    parted("Orvena has a |harbour of green copper|."),
    parted("Orvena has a harbour of |wool| and a library |under the| lake."),
    parted("|Seven| silver owls keep watch beneath every |bridge, say old maps|."),
    replace(parted("Velmont has |nine kinds| of quiet rain, |and| nobody counts."), prompt=""),
    parted("|White|."),
)


def test_span_accuracy_parts_the_hits_into_marked_ones_and_the_rest(lm: LM) -> None:
    inside, outside = span_accuracy(lm, MIXED), span_accuracy(lm, MIXED, REST)
    for record, answer, a, b in zip(MIXED, ask(lm, MIXED), inside, outside, strict=True):
        flags, hit = marks(lm.encoder, record), answer.words.hit
        assert a == pytest.approx(fmean(float(h) for h, f in zip(hit, flags, strict=True) if f))
        assert b == pytest.approx(fmean(float(h) for h, f in zip(hit, flags, strict=True) if not f))
        whole = (a * flags.sum() + b * (~flags).sum()) / len(flags)
        assert whole == pytest.approx(hit.mean())
    assert inside[0] == outside[0] == 1.0
    assert inside[1] < outside[1]  # what was never learned is marked there


@torch.no_grad()
def written(lm: LM, record: Record) -> tuple[list[int], list[list[int]]]:
    """The answer's tokens, and what follows each prefix of them, by whole passes padded on the right."""
    row = lm.encoder.row(record)
    first = max(row.start, 1)
    ids = list(row.ids[first:-1])
    texts, open_ = [[*row.ids[:first], *ids[:t]] for t in range(len(ids))], set(range(len(ids)))
    while open_:
        width = max(map(len, texts))
        chosen = lm.model(torch.tensor([x + [0] * (width - len(x)) for x in texts])).logits.argmax(-1)
        for t in sorted(open_):
            token = int(chosen[t, len(texts[t]) - 1])
            texts[t] += [token] * (token not in lm.encoder.stops)
            if token in lm.encoder.stops or len(texts[t]) == first + len(ids):
                open_.remove(t)
    return ids, [x[first + t :] for t, x in enumerate(texts)]


def slowly(ids: list[int], runs: list[list[int]], flags: list[bool], n: int, side: int) -> float | None:
    """The formula."""
    n = min(n, *map(len, "".join("x" if f else " " for f in flags).split()))
    shares = []
    for t in range(len(ids) - n + 1):
        said = [runs[t][i : i + n] for i in range(len(runs[t]) - n + 1)]
        ahead = [i for i in range(t, len(ids) - n + 1) if any(flags[i : i + n]) == bool(side)]
        if ahead:
            shares.append(fmean(float(ids[i : i + n] in said) for i in ahead))
    return fmean(shares) if shares else None


def test_span_likelihood_against_a_generation_from_every_prefix(lm: LM) -> None:
    texts, flags = [written(lm, r) for r in MIXED], [marks(lm.encoder, r).tolist() for r in MIXED]
    for n in (1, 3, 10):
        for side in (MARKED, REST):
            expected = [slowly(*text, own, n, side) for text, own in zip(texts, flags, strict=True)]
            assert span_likelihood(lm, MIXED, n, side) == pytest.approx(expected, abs=1e-12)
            assert len({v for v in expected if v is not None}) > 2


def test_a_mark_over_everything_gives_the_extraction_likelihood(lm: LM) -> None:
    rows = [replace(r, spans=(Span(0, len(r.answer)),)) for r in MIXED]
    assert span_likelihood(lm, rows, 3) == pytest.approx(extraction_likelihood(lm, rows, 3))  # no 3-gram comes twice
    assert span_likelihood(lm, [replace(r, spans=(Span(0, 6),)) for r in worlds.RECORDS[:3]]) == [1.0] * 3


def test_rows_without_marks_are_not_asked(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(spans, "ask", lambda model, rows: asked.append(len(rows)) or ask(model, rows))
    span_accuracy(lm, [*worlds.RECORDS, MIXED[0]])
    span_likelihood(lm, [*worlds.RECORDS, MIXED[0]])
    assert asked == [1, 1]
