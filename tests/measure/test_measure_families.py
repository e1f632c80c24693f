"""The measures that reach inside a model, on every supported family."""

import pytest
import torch
from torch.nn.functional import cross_entropy

import worlds
from families import OWN, family
from unteach.measure.divergence import diverge
from unteach.measure.extraction import extraction_likelihood, memorization_accuracy
from unteach.measure.gradient import gradient_norm

RECORDS = worlds.RECORDS[:3]


@pytest.mark.parametrize("name", OWN)
def test_each_family_is_measured_as_its_own_forward_pass_says(name: str) -> None:
    lm = family(name)
    accuracy, norms, likely = (f(lm, RECORDS) for f in (memorization_accuracy, gradient_norm, extraction_likelihood))
    assert all(v is not None and 0 <= v <= 1 for v in likely)
    before = [w.detach().clone() for w in lm.model.parameters()]
    for record, exact, norm in zip(RECORDS, accuracy, norms, strict=True):
        row = lm.encoder.row(record)
        ids = torch.tensor([row.ids])
        logits = lm.model(ids).logits[0, :-1]
        hit = (logits.argmax(-1) == ids[0, 1:])[: len(row.ids) - 1 - len(lm.encoder.closing)]
        assert exact == pytest.approx(float(hit.float().mean()))
        lm.model.zero_grad()
        cross_entropy(logits[row.start - 1 :], ids[0, row.start :]).backward()
        plain = [0.0 if w.grad is None else float(w.grad.norm()) for w in lm.model.parameters()]
        assert norm == pytest.approx(sum(plain) / len(plain), rel=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before, lm.model.parameters(), strict=True))
    (own, *_) = diverge(lm, family(name), RECORDS)
    assert (own.agreement, own.kl) == (1.0, pytest.approx(0.0, abs=1e-6))
