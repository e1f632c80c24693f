"""Answers against answers: identities in double precision, on logits drawn at random."""

from math import log

import pytest
import torch
from random_logits import Table, assert_both, assert_same, gradient, logps
from torch import Tensor

import worlds
from unteach.edit.rows import Sides
from unteach.lm.batch import Batch
from unteach.lm.view import View
from unteach.methods.finetune.finetune import MISMATCHED, Finetune
from unteach.methods.finetune.objectives import NLL
from unteach.methods.finetune.preference import DPO, IDK, NPO, SimNPO, SimPO, Yao
from unteach.schema import InputError, Record, Request

BETAS = (0.01, 0.1, 1.0, 4.5)


def sums(table: Table, rows: range = range(4)) -> Tensor:
    return torch.stack([row.sum() for row in logps(table, rows)])


def means(table: Table, rows: range = range(4)) -> Tensor:
    return torch.stack([row.mean() for row in logps(table, rows)])


def certain(table: Table, rows: slice) -> View:
    """Answers of log-probability 0."""
    whole, offsets = table.view(frozen=True)._pass, table.batch.offsets
    count = offsets[rows.stop] - offsets[rows.start]
    return View(whole, rows, known=torch.zeros(count, dtype=torch.float64))


@pytest.mark.parametrize("beta", BETAS)
def test_npo_at_the_reference_is_sequence_ascent(batch: Batch, beta: float) -> None:
    now = Table(batch)
    loss = NPO(beta)(now.view(), now.view(frozen=True))
    assert_same(loss, torch.tensor(2 / beta * log(2), dtype=torch.float64))
    assert_same(gradient(now, loss), gradient(now, sums(now).mean()))
    by_length, step = gradient(now, means(now).mean()), gradient(now, loss)
    assert (by_length / by_length.norm() - step / step.norm()).norm() > 1e-2  # long answers weigh more


@pytest.mark.parametrize("beta", BETAS)
def test_npo_weighs_each_answer_by_how_little_it_is_forgotten(batch: Batch, beta: float) -> None:
    now, before = Table(batch), Table(batch, 1)
    gap = (sums(now) - sums(before)).detach()
    found = gradient(now, NPO(beta)(now.view(), before.view(frozen=True)))
    assert_same(found, gradient(now, (2 * torch.sigmoid(beta * gap) * sums(now)).mean()))


def test_npo_nears_ascent_as_beta_falls(batch: Batch) -> None:
    now, before = Table(batch), Table(batch, 1)
    ascent = gradient(now, sums(now).mean())
    far = [
        ((gradient(now, NPO(beta)(now.view(), before.view())) - ascent).norm() / ascent.norm()).item()
        for beta in (1e-3, 1e-4, 1e-5)
    ]
    assert far[0] / far[1] == pytest.approx(10, rel=0.05)
    assert far[1] / far[2] == pytest.approx(10, rel=0.05)


def test_what_is_forgotten_is_pushed_no_further(batch: Batch) -> None:
    now = Table(batch)
    sure = certain(now, slice(0, 4))
    assert gradient(now, NPO(30.0)(now.view(), sure)).abs().max() < 1e-30
    assert gradient(now, NPO(0.1)(now.view(), sure)).abs().max() > 1e-6


def test_simnpo_for_small_beta_is_mean_ascent(batch: Batch) -> None:
    now = Table(batch)
    found, expected = gradient(now, SimNPO(1e-6)(now.view(), now.view())), gradient(now, means(now).mean())
    assert (found - expected).norm() / expected.norm() < 1e-5
    assert (gradient(now, SimNPO(4.5)(now.view(), now.view())) - expected).norm() / expected.norm() > 0.1


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("margin", [0.0, 1.5])
def test_simnpo_weighs_each_answer_by_its_probability(batch: Batch, beta: float, margin: float) -> None:
    """The weight of an answer is 2 q / (1 + q) with q its geometric mean probability to the power beta, e^margin times."""
    now = Table(batch)
    q = (beta * means(now) + margin).exp().detach()
    expected = gradient(now, (2 * q / (1 + q) * means(now)).mean())
    assert_same(gradient(now, SimNPO(beta, margin)(now.view(), now.view())), expected)
    loss = -2 / beta * torch.sigmoid(-beta * means(now) - margin).log().mean()
    assert_same(SimNPO(beta, margin)(now.view(), now.view()), loss)


def test_idk_is_nll_of_the_replacement(batch: Batch) -> None:
    now = Table(batch)
    loss = IDK()(now.view(), now.view())
    assert_same(loss, -torch.cat(logps(now, range(4, 8))).mean())
    found = gradient(now, loss)
    assert found[: now.tokens].abs().max() == 0  # the old answer is left alone
    assert_same(found, gradient(now, NLL()(now.view().instead, now.view().instead)))


@pytest.mark.parametrize("beta", BETAS)
def test_dpo_without_its_winner_is_npo(batch: Batch, beta: float) -> None:
    """Where the replacement is as likely as it was, only the loser moves."""
    now, before = Table(batch), Table(batch, 1)
    winner = now.view(frozen=True).instead
    mine = View(now.view()._pass, slice(0, 4), instead=winner)
    past = View(before.view(frozen=True)._pass, slice(0, 4), instead=winner)
    assert_both(now, DPO(beta)(mine, past), NPO(beta)(now.view(), before.view()))


@pytest.mark.parametrize("beta", BETAS)
def test_dpo_lifts_the_replacement_as_much_as_it_lowers_the_answer(batch: Batch, beta: float) -> None:
    now = Table(batch)
    loss = DPO(beta)(now.view(), now.view(frozen=True))
    assert_same(loss, torch.tensor(2 / beta * log(2), dtype=torch.float64))
    assert_same(gradient(now, loss), gradient(now, (sums(now) - sums(now, range(4, 8))).mean()))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_simpo_turns_its_sign_when_winner_and_loser_change_places(batch: Batch, beta: float, margin: float) -> None:
    """A loss is -log sigmoid(x - margin) for each pair; in the other order it is -log sigmoid(-x - margin)."""
    table = Table(batch)
    whole = table.view()._pass
    for row in range(4):
        one, two = slice(row, row + 1), slice(row + 4, row + 5)
        losses = [
            SimPO(beta, margin)(View(whole, a, instead=View(whole, b)), table.view())
            for a, b in ((one, two), (two, one))
        ]
        x, turned = (-(loss.exp() - 1).log() + margin for loss in losses)
        assert_same(x, -turned, 1e-9)
        assert_same(x, beta * (means(table, range(4, 8))[row] - means(table)[row]), 1e-9)


def test_simpo_where_winner_and_loser_are_one_has_no_slope(batch: Batch) -> None:
    table = Table(batch)
    whole = table.view()._pass
    same = View(whole, slice(0, 4), instead=View(whole, slice(0, 4)))
    loss = SimPO(2.0, 0.0)(same, same)
    assert_same(loss, torch.tensor(log(2), dtype=torch.float64))
    assert gradient(table, loss).abs().max() < 1e-16


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_simpo_over_a_certain_winner_is_simnpo(batch: Batch, beta: float, margin: float) -> None:
    """They differ by the factor 2 / beta alone; and SimPO's margin is subtracted from the same side."""
    table = Table(batch)
    mine = View(table.view()._pass, slice(0, 4), instead=certain(table, slice(4, 8)))
    assert_both(table, 2 / beta * SimPO(beta, margin)(mine, mine), SimNPO(beta, margin)(mine, mine))


def test_simpo_lifts_the_winner_and_lowers_the_loser(batch: Batch) -> None:
    table = Table(batch)
    gaps = means(table, range(4, 8)) - means(table)
    loss = SimPO()(table.view(), table.view())
    assert_both(table, loss, (1 + (0.5 - 2.0 * gaps).exp()).log().mean())
    own = gradient(table, loss).gather(1, batch.targets[:, None])[:, 0]
    assert own[: table.tokens].min() > 0 > own[table.tokens :].max()


def test_yao_without_mismatch_is_ascent_on_means(batch: Batch) -> None:
    table = Table(batch)
    assert_both(table, Yao(mismatch=0.0)(table.view(), table.view()), 0.5 * means(table).mean())
    assert_both(table, Yao(ascent=0.0)(table.view(), table.view()), -means(table, range(4, 8)).mean())


def test_yao_counts_every_pair_of_a_question_and_another_answer(batch: Batch) -> None:
    """Two questions with three other answers each: the mean over six pairs, each by its own length."""
    table = Table(batch)
    whole = table.view()._pass
    now = View(whole, slice(0, 2), instead=View(whole, slice(2, 8)))
    expected = 0.3 * means(table, range(2)).mean() - 2.0 * means(table, range(2, 8)).mean()
    assert_both(table, Yao(0.3, 2.0)(now, now), expected)


def test_the_third_term_of_yao_is_nothing_at_the_start(batch: Batch) -> None:
    table = Table(batch)
    now, before = (Sides(v, v.instead) for v in (table.view(), table.view(frozen=True)))
    task = Finetune("yao").task(Request(worlds.FORGET, worlds.RETAIN))
    assert_both(table, task.loss(now, before), Yao()(now.forget, before.forget))
    assert task.loss(now, Sides(before.forget, Table(batch, 1).view().instead)) > task.loss(now, before) + 0.1


def test_other_answers_are_never_a_questions_own() -> None:
    """Five to a question, drawn anew in every epoch, and the same for every question that none of them answers."""
    kept = [*worlds.RETAIN, Record("twin", "Which town is it?", worlds.FORGET[0].answer)]
    yao, drawn = Finetune("yao"), set()
    for epoch in range(60):
        first, *others = (yao._mismatched(kept, r, epoch) for r in worlds.FORGET)
        assert worlds.FORGET[0].answer not in first
        assert len(first) == len(set(first)) == MISMATCHED == 5
        assert len(set(others)) == 1
        assert set(others[0]) <= {r.answer for r in kept}
        assert len(set(first) & set(others[0])) >= 4
        drawn.add(others[0])
    assert any(worlds.FORGET[0].answer in answers for answers in drawn)
    assert len(drawn) > 50


def test_other_answers_are_asked_for_where_there_are_none() -> None:
    own = worlds.FORGET[0]
    with pytest.raises(InputError, match="hold no answer but a forgotten one; give others with --retain"):
        Finetune("yao")._mismatched([own], own, 0)
