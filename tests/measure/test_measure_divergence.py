"""Two models side by side: against distributions written down whole, in float64."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import log

import numpy as np
import pytest
import torch
from torch import Tensor

import worlds
from unteach.lm.encoder import Template
from unteach.lm.fresh import fresh
from unteach.lm.model import LM
from unteach.measure import answers
from unteach.measure.divergence import Divergence, diverge, unlike
from unteach.schema import Record

RECORDS = (
    *worlds.RECORDS,
    Record("x", "What is Orvena?", "No idea."),
    Record("y", "", "A text alone."),
    Record("z", "", ""),
)


@torch.no_grad()
def logits(lm: LM, record: Record) -> Tensor:
    row = lm.encoder.row(record)
    found: Tensor = lm.model(torch.tensor([row.ids])).logits[0, max(row.start, 1) - 1 : -1].double()
    return found


def slowly(this: LM, other: LM, record: Record) -> list[float]:
    first, second = logits(this, record), logits(other, record)
    p, q = first.softmax(-1), second.softmax(-1)
    m = (p + q) / 2
    kl = (q * (q.log() - p.log())).sum(-1)
    js = (p * (p.log() - m.log())).sum(-1) / 2 + (q * (q.log() - m.log())).sum(-1) / 2
    same = (first.argmax(-1) == second.argmax(-1)).double()
    return [float(v.mean()) for v in (same, kl, js)]


@pytest.mark.parametrize("at_once", [answers.SEEN_ON_CPU, 2000])
def test_each_record_against_whole_distributions(
    llama: LM, gpt2: LM, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "SEEN_ON_CPU", at_once)  # all tokens of a batch, or four of them, at a time
    for this, other in ((llama, gpt2), (gpt2, llama)):
        found = diverge(this, other, RECORDS)
        for record, d in zip(RECORDS, found, strict=True):
            assert d is not None
            np.testing.assert_allclose([d.agreement, d.kl, d.js], slowly(this, other, record), rtol=1e-4, atol=1e-6)


def test_equal_models_do_not_diverge(llama: LM) -> None:
    twin = LM(llama.model, llama.tokenizer)
    for d in diverge(llama, twin, RECORDS):
        assert d == Divergence(1.0, 0.0, pytest.approx(0.0, abs=1e-7))
    bare = LM(llama.model, llama.tokenizer, template=Template(eos=False))
    assert diverge(bare, bare, [Record("e", "", "")]) == [None]


def test_js_is_symmetric_and_bounded_and_kl_is_neither(llama: LM) -> None:
    with saying(worlds.llama(), 7) as seven, saying(worlds.llama(), 9) as nine:
        for d in diverge(seven, nine, RECORDS):
            assert (d.agreement, d.js) == (0.0, pytest.approx(log(2), abs=1e-6))
            assert d.js <= log(2)
            assert d.kl == pytest.approx(60, rel=1e-3)
        there, back = diverge(llama, nine, RECORDS), diverge(nine, llama, RECORDS)
    assert [d.js for d in there] == pytest.approx([d.js for d in back], rel=1e-5)
    assert min(abs(a.kl - b.kl) for a, b in zip(there, back, strict=True)) > 1


def test_models_that_read_other_tokens_are_told_apart(llama: LM, gpt2: LM) -> None:
    assert unlike(llama, gpt2, RECORDS) == ""
    assert unlike(llama, LM(llama.model, llama.tokenizer), RECORDS) == (
        "one copy of the weights cannot be both models at once"
    )
    foreign = fresh(["another world altogether"], worlds.SIZE)
    assert unlike(llama, foreign, RECORDS) == "the two models have different vocabularies"
    laid_out = LM(gpt2.model, gpt2.tokenizer, template=Template("{prompt}: {answer}"))
    assert unlike(llama, laid_out, RECORDS) == "the two models read the rows as different tokens"


@contextmanager
def saying(lm: LM, token: int) -> Iterator[LM]:
    """A model that is sure of one token, by 60 nats."""

    def sure(_module: object, _args: object, out: Tensor) -> Tensor:
        always = torch.zeros_like(out)
        always[..., token] = 60.0
        return always

    handle = lm.model.get_output_embeddings().register_forward_hook(sure)
    try:
        yield lm
    finally:
        handle.remove()
