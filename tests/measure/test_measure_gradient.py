"""The norm of a row's gradient: against a backward pass, without a trace of it, in evaluation mode."""

from statistics import fmean

import pytest
import torch
from torch.nn.functional import cross_entropy

import worlds
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.encoder import Template
from unteach.lm.model import LM
from unteach.measure.gradient import gradient_norm
from unteach.schema import Record

RECORDS = (*worlds.RECORDS[:3], Record("x", "What is Orvena?", "Nobody can say."), Record("y", "", "A text alone."))


def slowly(lm: LM, record: Record, p: float) -> float:
    """By a backward pass; what it leaves is swept up."""
    batch = lm.batch([record])
    cross_entropy(lm.logits(batch), batch.targets).backward()
    norms = [float((w.grad.abs() ** p).sum() ** (1 / p)) for w in lm.model.parameters()]
    lm.model.zero_grad()
    return fmean(norms)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_each_row_against_a_backward_pass(lm: LM, p: float) -> None:
    expected = [slowly(lm, r, p) for r in RECORDS]
    assert gradient_norm(lm, RECORDS, p) == pytest.approx(expected, rel=1e-4)


def test_the_model_keeps_no_gradient_and_its_mode(lm: LM) -> None:
    before = worlds.state(lm)
    with torch.no_grad():  # whoever asks need not have gradients on
        gradient_norm(lm, RECORDS[:1])
    assert worlds.state(lm) == before


def test_a_row_without_an_answer_has_none(llama: LM) -> None:
    bare = LM(llama.model, llama.tokenizer, template=Template(eos=False))
    assert gradient_norm(bare, [Record("e", "", "")]) == [None]


def test_learned_rows_have_little_left_to_teach(lm: LM) -> None:
    known = gradient_norm(lm, RECORDS[:3])
    assert max(known) < min(gradient_norm(lm, RECORDS[3:])) / 10


def test_under_a_worn_adapter_the_gradient_is_that_of_the_weights_below(lm: LM) -> None:
    edit = learn(lm, worlds.RECORDS[:2], Plan(rank=2, epochs=1, batch_size=2, accumulate=1, lr=0.05))
    plain = gradient_norm(lm, RECORDS)
    with edit.on(lm):
        worn = gradient_norm(lm, RECORDS)
        assert worn == pytest.approx([slowly(lm, r, 2.0) for r in RECORDS], rel=1e-4)
    assert worn != pytest.approx(plain, rel=1e-2)


def test_dropout_would_make_it_a_matter_of_chance() -> None:
    """In training mode, in which open-unlearning takes it, a GPT-2 has another norm every time."""
    lm = worlds.gpt2()
    once, again = (gradient_norm(lm, RECORDS) for _ in range(2))
    assert once == again
    lm.model.train()
    torch.manual_seed(0)
    drawn = [gradient_norm(lm, RECORDS[:1])[0] for _ in range(5)]
    assert max(drawn) / min(drawn) > 1.01
    assert min(drawn) != pytest.approx(once[0], rel=1e-3)
