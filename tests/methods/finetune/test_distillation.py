"""Towards another distribution: identities in double precision, on logits drawn at random."""

from dataclasses import replace
from math import exp, log

import pytest
import torch
from random_logits import Table, assert_both, assert_same, gradient, seen

import worlds
from unteach.edit.rows import Sides
from unteach.lm.batch import Batch
from unteach.lm.view import View
from unteach.methods.finetune.distillation import PDU, SCRUB, UNDIAL, RandomLabels
from unteach.methods.finetune.finetune import Finetune
from unteach.methods.finetune.objectives import KL, NLL
from unteach.schema import Request

BETAS = (0.5, 3.0, 10.0, 30.0)


@pytest.mark.parametrize("beta", BETAS)
def test_undial_lowers_the_answer_by_beta_and_nothing_else(batch: Batch, beta: float) -> None:
    """The goal is read off the gradient, which is softmax(z) minus the goal, over the number of tokens."""
    now, before = Table(batch), Table(batch, 1)
    slope = gradient(now, UNDIAL(beta)(now.view(), before.view()))[: now.tokens] * now.tokens
    goal, was = now.logits.detach().softmax(-1)[: now.tokens] - slope, before.logits.softmax(-1)[: now.tokens]
    p = was.gather(1, batch.targets[: now.tokens, None])
    assert_same(goal.gather(1, batch.targets[: now.tokens, None]), p * exp(-beta) / (p * exp(-beta) + 1 - p))
    others = torch.ones_like(goal, dtype=torch.bool).scatter(1, batch.targets[: now.tokens, None], False)
    ratios = (goal / was)[others].view(now.tokens, -1)
    assert_same(ratios, ratios[:, :1].expand_as(ratios))


@pytest.mark.parametrize("beta", BETAS)
def test_undial_is_a_cross_entropy_that_rests_at_its_goal(batch: Batch, beta: float) -> None:
    now, before = Table(batch), Table(batch, 1)
    lowered = before.logits.detach().clone()
    lowered[torch.arange(len(lowered)), batch.targets] -= beta
    goal = lowered.softmax(-1)[: now.tokens]
    expected = torch.stack([-(q * z.log_softmax(-1)).sum() for q, z in zip(goal, now.logits, strict=False)]).mean()
    assert_both(now, UNDIAL(beta)(now.view(), before.view()), expected)
    there = Table(batch)
    with torch.no_grad():
        there.logits.copy_(lowered)
    assert gradient(there, UNDIAL(beta)(there.view(), before.view())).abs().max() < 1e-16


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_scrub_is_minus_kl_and_vanishes_at_the_reference(batch: Batch, temperature: float) -> None:
    now, before = Table(batch), Table(batch, 1)
    same = SCRUB(temperature)(now.view(), now.view(frozen=True))
    assert same.abs() < 1e-14
    assert gradient(now, same).abs().max() < 1e-14
    p, q = (t.logits[: now.tokens] / temperature for t in (before, now))
    gaps = p.softmax(-1) * (p.log_softmax(-1) - q.log_softmax(-1))
    loss = SCRUB(temperature)(now.view(), before.view())
    assert_both(now, loss, -(temperature**2) * gaps.sum(-1).mean())
    assert loss < -0.1
    if temperature == 1:
        assert_both(now, loss, -KL()(now.view(), before.view()))
    assert torch.autograd.grad(loss, before.logits, allow_unused=True) == (None,)  # the past is fixed


def test_randomlabels_is_least_where_every_token_is_equally_likely(batch: Batch) -> None:
    table = Table(batch)
    assert RandomLabels()(table.view(), table.view()) > log(40) + 0.1
    with torch.no_grad():
        table.logits.copy_(torch.arange(len(batch.targets), dtype=torch.float64)[:, None].expand_as(table.logits))
    loss = RandomLabels()(table.view(), table.view())
    assert_same(loss, torch.tensor(log(40), dtype=torch.float64))
    assert gradient(table, loss).abs().max() < 1e-16


def test_randomlabels_is_the_average_over_all_labels(batch: Batch) -> None:
    """What one label a token, drawn uniformly, gives on average: the mean of the NLL of each of the 40."""
    table = Table(batch)
    labelled = [seen(replace(batch, ids=torch.full_like(batch.ids, label)), table.logits) for label in range(40)]
    average = torch.stack([NLL()(view, view) for view in labelled]).mean()
    assert_both(table, RandomLabels()(table.view(), table.view()), average)


def test_pdu_vanishes_on_flat_logits_and_its_weight_follows_the_constraint(batch: Batch) -> None:
    table = Table(batch)
    rows = table.logits[: table.tokens]
    assert_both(table, PDU()(table.view(), table.view()), torch.stack([(z.max() - z.mean()) ** 2 for z in rows]).mean())
    flat = seen(batch, torch.full_like(table.logits, 7.0))
    assert PDU()(flat, flat) == 0
    higher: View = seen(batch, table.logits + 7.0)
    assert_same(PDU()(higher, higher), PDU()(table.view(), table.view()))
    weight, followed = 1.0, []
    for loss in (0.5, 0.4, 0.3, 0.1, 0.0, 0.0):
        weight = PDU(bound=0.3, step=2.0).dual(weight, loss)
        followed.append(weight)
    assert followed == pytest.approx([1.4, 1.6, 1.6, 1.2, 0.6, 0.0])
    assert PDU(bound=0.3, step=2.0).dual(0.1, 0.0) == 0.0


def test_the_retain_weight_of_pdu_grows_in_training_as_long_as_the_constraint_is_broken(batch: Batch) -> None:
    """The loss of one step after another on the same numbers, whose retain loss lies far above the bound."""
    table = Table(batch)
    sides = Sides(table.view(), table.view().instead)
    flatness, kept = PDU()(sides.forget, sides.forget), NLL()(sides.retain, sides.retain).item()
    task = Finetune("pdu", {"step": 0.5}, retain_weight=2.0).task(Request(worlds.FORGET, worlds.RETAIN))
    assert kept > 1
    weight = 2.0
    for _ in range(3):
        assert_same(task.loss(sides, sides), flatness + weight * kept)
        weight += 0.5 * (kept - 0.3)
        assert task.state["retain_weight"] == pytest.approx(weight)


def test_the_forget_rows_of_scrub_move_nothing_by_themselves(batch: Batch) -> None:
    """At the reference their turn has no slope; the retain rows' turn is descent on their NLL."""
    table = Table(batch)
    task, none = Finetune("scrub").task(Request(worlds.FORGET, worlds.RETAIN)), View(table.view()._pass, slice(4, 4))
    before = table.view(frozen=True)
    pushed = task.loss(Sides(table.view(), none), Sides(before, none))
    assert gradient(table, pushed).abs().max() < 1e-14
    own = View(table.view()._pass, slice(4, 4), instead=none)
    kept = task.loss(Sides(own, table.view().instead), Sides(own, before.instead))
    assert_both(table, kept, NLL()(table.view().instead, table.view().instead))
