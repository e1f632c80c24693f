"""The moments of rows' gradients, against the model's own, one row at a time."""

import torch
from torch.nn.functional import cross_entropy

import worlds
from unteach.lm.model import LM
from unteach.measure.fisher import moments


def test_moments_are_the_means_of_the_rows_gradients_and_of_their_squares(lm: LM) -> None:
    names = [n for n in lm.parameters() if ".1." in n]
    slopes = []
    for record in worlds.RECORDS:
        row = lm.encoder.row(record)
        logits = lm.model(torch.tensor([row.ids])).logits[0]
        lost = cross_entropy(logits[row.start - 1 : -1], torch.tensor(row.ids[row.start :]))
        slopes.append(torch.autograd.grad(lost, [lm.parameters()[n] for n in names]))
    found = moments(lm, worlds.RECORDS, names)
    for name, *rows in zip(names, *slopes, strict=True):
        each = torch.stack(rows).double()
        torch.testing.assert_close(found.mean[name].double(), each.mean(0), rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(found.square[name].double(), each.square().mean(0), rtol=1e-3, atol=1e-8)
    assert not any(w.grad is not None for w in lm.parameters().values())
