"""Ascent, weighted, selected and tempered: identities in double precision, on logits drawn at random."""

from dataclasses import replace

import pytest
import torch
from random_logits import Table, assert_both, assert_same, gradient, logps, seen
from torch import Tensor

from unteach.lm.batch import Batch
from unteach.lm.view import View
from unteach.methods.finetune.ascent import CEU, GA, GALS, TNPO, WGA, WTNPO, GATemp, SatImp
from unteach.methods.finetune.objectives import NLL
from unteach.registry import build
from unteach.schema import InputError

BETAS = (0.1, 1.0, 4.0)


def probabilities(table: Table) -> Tensor:
    return torch.cat(logps(table)).exp().detach()


def mean(weights: Tensor, table: Table) -> Tensor:
    """Ascent with a weight for each token."""
    return (weights * torch.cat(logps(table))).mean()


def short(batch: Batch) -> Batch:
    """The same rows, where the second answer is its last token alone."""
    answer = batch.answer.clone()
    answer[1, : int(batch.real[1].sum()) - 1] = False
    found = replace(batch, answer=answer)
    assert found.lengths[1] == 1
    return found


def test_ga_is_minus_nll(batch: Batch) -> None:
    table = Table(batch)
    ascent, descent = GA()(table.view(), table.view()), NLL()(table.view(), table.view())
    assert ascent == -descent
    assert torch.equal(gradient(table, ascent), -gradient(table, descent))


def test_wga_without_weights_is_ascent(batch: Batch) -> None:
    table = Table(batch)
    found, ascent = WGA(0.0)(table.view(), table.view()), GA()(table.view(), table.view())
    assert found == ascent
    assert torch.equal(gradient(table, found), gradient(table, ascent))


@pytest.mark.parametrize("beta", BETAS)
def test_wga_weighs_every_token_by_its_probability(batch: Batch, beta: float) -> None:
    table = Table(batch)
    assert_both(table, WGA(beta)(table.view(), table.view()), mean(probabilities(table) ** beta, table))


@pytest.mark.parametrize("beta", BETAS)
def test_tnpo_weighs_every_token_one_at_the_reference(batch: Batch, beta: float) -> None:
    now, before = Table(batch), Table(batch, 1)
    same, ascent = TNPO(beta)(now.view(), now.view(frozen=True)), GA()(now.view(), now.view())
    assert same == ascent
    assert torch.equal(gradient(now, same), gradient(now, ascent))
    p, was = probabilities(now) ** beta, probabilities(before) ** beta
    weights = 2 * p / (p + was)
    assert weights.std() > 0.01
    assert_both(now, TNPO(beta)(now.view(), before.view()), mean(weights, now))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("alpha", [0.5, 1.5])
def test_wtnpo_is_tnpo_times_a_power_of_the_probability(batch: Batch, beta: float, alpha: float) -> None:
    """Token by token: each weight of TNPO, times p^alpha."""
    now, before = Table(batch), Table(batch, 1)
    p, was = probabilities(now), probabilities(before)
    weights = 2 * p ** (beta + alpha) / (p**beta + was**beta)
    assert_same(weights, 2 * p**beta / (p**beta + was**beta) * p**alpha)
    assert_both(now, WTNPO(beta, alpha)(now.view(), before.view()), mean(weights, now))
    plain = WTNPO(beta, 0.0)(now.view(), before.view())
    assert_both(now, plain, TNPO(beta)(now.view(), before.view()))


@pytest.mark.parametrize(("beta1", "beta2"), [(5.0, 1.0), (5.0, 0.1), (1.0, 2.0), (0.0, 0.0)])
def test_satimp_weighs_saturation_and_importance(batch: Batch, beta1: float, beta2: float) -> None:
    table = Table(batch)
    p = probabilities(table)
    loss = SatImp(beta1, beta2)(table.view(), table.view())
    assert_both(table, loss, mean(p**beta1 * (1 - p) ** beta2, table))
    if not beta1 and not beta2:
        assert_both(table, loss, GA()(table.view(), table.view()))
    if not beta2:
        assert_both(table, loss, WGA(beta1)(table.view(), table.view()))


def told(batch: Batch, height: float) -> Table:
    """Every answer token has this logit."""
    table = Table(batch)
    with torch.no_grad():
        table.logits[torch.arange(len(batch.targets)), batch.targets] = height
    return table


@pytest.mark.parametrize("height", [12.0, -12.0])
def test_satimp_leaves_alone_what_is_certain_and_what_is_forgotten(batch: Batch, height: float) -> None:
    table = told(batch, height)
    found, ascent = (gradient(table, o(table.view(), table.view())) for o in (SatImp(), GA()))
    assert 0 < found.abs().max() < 2e-3 * ascent.abs().max()
    certain = told(batch, 800.0)  # 1 - p is 0, and its root has no slope
    assert gradient(certain, SatImp(5.0, 0.1)(certain.view(), certain.view())).abs().max() == 0


def test_gals_over_all_tokens_is_mean_ascent(batch: Batch) -> None:
    table = Table(batch)
    assert_both(table, GALS(1.0)(table.view(), table.view()), GA()(table.view(), table.view()))


@pytest.mark.parametrize("share", [0.8, 0.5, 0.05])
def test_gals_keeps_the_tokens_of_least_loss_of_each_answer(batch: Batch, share: float) -> None:
    rows = short(batch)
    table = Table(rows)
    kept = [a.sort(descending=True).values[: max(1, int(share * len(a)))] for a in logps(table)]
    assert [len(k) for k in kept] == [max(1, int(share * n)) for n in rows.lengths[:4].tolist()]
    loss = GALS(share)(table.view(), table.view())
    assert_both(table, loss, torch.cat(kept).mean())
    moved = gradient(table, loss).abs().sum(-1)[: table.tokens] > 0
    for a, chosen in zip(logps(table), torch.split(moved, rows.lengths[:4].tolist()), strict=True):
        assert chosen.sum() == max(1, int(share * len(a)))
        assert chosen.all() or a[chosen].min() > a[~chosen].max()


def test_gals_prefers_the_earlier_of_two_equals(batch: Batch) -> None:
    table = Table(batch)
    with torch.no_grad():
        table.logits.zero_()
    moved = gradient(table, GALS(0.5)(table.view(), table.view())).abs().sum(-1)[: table.tokens] > 0
    for chosen in torch.split(moved, batch.lengths[:4].tolist()):
        assert chosen.tolist() == sorted(chosen.tolist(), reverse=True)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_gals_refuses_what_is_no_share(share: float) -> None:
    with pytest.raises(InputError, match="option 'share' of gals is a share of an answer's tokens"):
        build("objective", "gals", {"share": share})


def test_gatemp_at_temperature_one_is_ascent(batch: Batch) -> None:
    table = Table(batch)
    assert_both(table, GATemp(1.0)(table.view(), table.view()), GA()(table.view(), table.view()))
    for tau in (0.5, 2.0, 5.0):
        expected = torch.cat(logps(table, tau=tau)).mean()
        assert_both(table, GATemp(tau)(table.view(), table.view()), expected)


def oracle(table: Table, skip: int) -> tuple[Tensor, Tensor]:
    """CEU token by token, and its gradient by hand: softmax(z) minus the goal, over the number of tokens."""
    losses, slopes, at = [], torch.zeros_like(table.logits), 0
    for b in range(4):
        for t, token in enumerate(table.batch.ids[b][table.batch.answer[b]].tolist()):
            z = table.logits[at].detach()
            if t >= skip:
                goal = z.exp()
                goal[token] = 0
                goal = goal / goal.sum()
                losses.append(-(goal * z.log_softmax(-1)).sum())
                slopes[at] = z.softmax(-1) - goal
            at += 1
    return torch.stack(losses).mean(), slopes / len(losses)


@pytest.mark.parametrize("skip", [0, 1, 3])
def test_ceu_takes_the_models_own_choice_without_the_answer(batch: Batch, skip: int) -> None:
    table = Table(short(batch))
    loss = CEU(skip)(table.view(), table.view())
    expected, slopes = oracle(table, skip)
    assert_same(loss, expected)
    assert_same(gradient(table, loss), slopes)


def test_ceu_lowers_the_answer_and_lifts_everything_else(batch: Batch) -> None:
    """The first token of each answer is left alone; at the others descent lowers one logit and lifts 39."""
    table = Table(batch)
    slope = gradient(table, CEU()(table.view(), table.view()))[: table.tokens]
    first = torch.zeros(table.tokens, dtype=torch.bool)
    first[list(batch.offsets[:4])] = True
    assert slope[first].abs().max() == 0
    own = slope.gather(1, batch.targets[: table.tokens, None])[:, 0]
    assert own[~first].min() > 0
    assert ((slope[~first] < 0).sum(-1) == 39).all()


def test_ceu_of_answers_that_are_skipped_whole_is_nothing(batch: Batch) -> None:
    table = Table(batch)
    loss = CEU(1000)(table.view(), table.view())
    assert loss == 0
    assert gradient(table, loss).abs().max() == 0


def test_ceu_is_bounded_where_ascent_is_not(batch: Batch) -> None:
    """However unlikely the answer has become, the loss stays that of the other tokens among themselves."""
    values = []
    for depth in (30.0, 300.0):
        logits = Table(batch).logits.detach()
        logits[torch.arange(len(logits)), batch.targets] = -depth
        view: View = seen(batch, logits)
        values.append((CEU(0)(view, view).item(), GA()(view, view).item()))
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-9)
    assert values[1][1] - values[0][1] == pytest.approx(-270, rel=1e-9)
