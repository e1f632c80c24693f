"""The gap of unseen rows, and how it is closed."""

from dataclasses import replace

import pytest
import torch

import worlds
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match
from unteach.methods.finetune.kga import KGA, divergence, mean_kl, said
from unteach.schema import InputError, Record, Request

UNSEEN = tuple(Record(f"u{i}", f"What is {t} known for?", f"{t} has a heron.") for i, t in enumerate(("Odrin", "Pell")))
REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN, holdout=UNSEEN)
PLAN = Plan(tune="full", epochs=16, lr=2e-3, batch_size=4, accumulate=1, decay="constant")


def test_kga_closes_the_gap_that_unseen_rows_have(lm: LM) -> None:
    """Afterwards forget rows lie about as far from a model that was taught them as unseen rows did."""
    with learn(lm, UNSEEN, PLAN).on(lm):
        known = said(lm, UNSEEN)
    gap = divergence(known, said(lm, UNSEEN))
    with learn(lm, worlds.FORGET, PLAN).on(lm):
        told = said(lm, worlds.FORGET)
    first = abs(divergence(told, said(lm, worlds.FORGET)) - gap)
    edit = KGA(plan=PLAN)(lm, REQUEST)
    assert f"gap={gap:.6g}," in edit.made_by
    with edit.on(lm):
        assert abs(divergence(told, said(lm, worlds.FORGET)) - gap) < 0.4 * first
        kept = [exact_match(a) or 0 for a in ask(lm, worlds.RETAIN)]
    assert sum(kept) / len(kept) > 0.9


def test_equal_models_have_no_gap_and_no_retain_term(lm: LM) -> None:
    """With all helpers equal to the model both terms are 0, and the retain term has no slope."""
    told = said(lm, worlds.FORGET)
    assert divergence(told, said(lm, worlds.FORGET)) == 0
    past = torch.randn(5, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits = past.clone().requires_grad_()
    kl = mean_kl(past.log_softmax(-1), logits.log_softmax(-1))
    assert kl == 0
    assert torch.autograd.grad(kl, logits)[0].abs().max() < 1e-16


def test_the_divergence_is_the_mean_over_tokens(llama: LM) -> None:
    with learn(llama, UNSEEN, replace(PLAN, epochs=1)).on(llama):
        other = said(llama, worlds.FORGET)
    own = said(llama, worlds.FORGET)
    slow = [
        float((p.exp() * (p - q)).sum()) for i in own for p, q in zip(own[i].double(), other[i].double(), strict=True)
    ]
    assert divergence(own, other) == pytest.approx(sum(slow) / len(slow), rel=1e-4)
    assert len(slow) == sum(llama.batch(worlds.FORGET).lengths.tolist())


def test_it_stops_when_the_gap_is_nearly_closed(llama: LM) -> None:
    stopped = KGA(stop=0.9, plan=PLAN)(llama, REQUEST)
    assert 0 < stopped.history[-1]["step"] < KGA(plan=PLAN)(llama, REQUEST).history[-1]["step"]


def test_what_cannot_be_is_refused(llama: LM) -> None:
    for need in ("forget", "retain", "holdout"):
        with pytest.raises(InputError, match=need):
            KGA(plan=PLAN)(llama, replace(REQUEST, **{need: ()}))
    for settings in ({"retain_weight": -1.0}, {"stop": 1.0}):
        with pytest.raises(InputError, match="kga takes"):
            KGA(**settings)
