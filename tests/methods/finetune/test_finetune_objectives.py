"""The first leaf of the formula sheet, and what holds for every objective on it."""

from dataclasses import fields
from typing import Any

import pytest
import torch
from random_logits import Table, assert_same, gradient, logps
from torch import Tensor

import worlds
from unteach.lm.anatomy import anatomy
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.lm.view import Pass, View
from unteach.methods.finetune.objectives import KL, NLL
from unteach.registry import build, entries, find


def test_nll_is_the_models_own_loss(lm: LM, batch: Batch) -> None:
    rows = lm.batch(worlds.RECORDS)
    labels = torch.where(rows.answer, rows.ids, -100)
    view = View(lm.run(rows), slice(0, len(worlds.RECORDS)))
    ours = NLL()(view, view)
    theirs = lm.model(rows.ids, attention_mask=rows.real.long(), labels=labels).loss
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    parameters = list(lm.model.parameters())
    for a, b in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(theirs, parameters), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    table = Table(batch)
    assert_same(NLL()(table.view(), table.view()), -torch.cat(logps(table)).mean())


def test_kl_and_its_gradient_vanish_at_the_reference(batch: Batch) -> None:
    now, before = Table(batch), Table(batch, 1)
    loss = KL()(now.view(), now.view(frozen=True))
    assert loss.abs() < 1e-15
    assert gradient(now, loss).abs().max() < 1e-15
    p, q = before.logits.log_softmax(-1)[: now.tokens], now.logits.log_softmax(-1)[: now.tokens]
    expected = (p.exp() * (p - q)).sum(-1).mean()
    found = KL()(now.view(), before.view())
    assert_same(found, expected)
    assert found > 0.1
    assert_same(gradient(now, found)[: now.tokens] * now.tokens, q.exp() - p.exp())
    assert torch.autograd.grad(found, before.logits, allow_unused=True) == (None,)  # the past is fixed


def slope_of_states(lm: LM, objective: Any, block: int | None) -> tuple[Tensor, Batch]:
    """(B, T, D): how the objective changes with the states after a block, or with the last ones, of padded rows."""
    leaves: list[Tensor] = []

    def swap(states: Tensor, _site: object) -> Tensor:
        leaves.append(states.detach().requires_grad_())
        return leaves[0]

    place = anatomy(lm.model)
    laid = lm.batch(worlds.RECORDS[:8])
    with torch.no_grad():
        logits, states = lm.run(laid).logits, lm.run(laid).hidden(1.0)
    past = Pass(laid, lambda: 0.9 * logits, lambda _layer: 0.9 * states + 0.3 * states.roll(1, -1))
    before = View(past, slice(0, 4), instead=View(past, slice(4, 8)))
    with lm.tap(place.norm if block is None else f"{place.blocks}.{block}", swap):
        whole = lm.run(laid)
        loss = objective(View(whole, slice(0, 4), instead=View(whole, slice(4, 8))), before)
        (slope,) = torch.autograd.grad(loss, leaves[0])
    return slope, laid


@pytest.mark.parametrize("name", [e.name for e in entries("objective")])
def test_what_predicts_no_answer_token_has_no_weight(lm: LM, name: str) -> None:
    """Prompts and padding: the gradient there is 0, bit for bit; somewhere in each answer that is read it is not."""
    hidden = "hidden" in find("objective", name).needs
    places = {f.name for f in fields(find("objective", name))} & {"layer", "lower", "upper"}
    objective = build("objective", name, dict.fromkeys(places, 1.0) if hidden else {})
    slope, laid = slope_of_states(lm, objective, 1 if hidden else None)
    predicting = torch.zeros_like(laid.answer)
    predicting[:, :-1] = laid.answer[:, 1:]
    assert laid.padding > 0
    assert slope[~predicting].abs().max() == 0
    assert (slope.abs().sum((1, 2)) > 0).sum() >= 4
