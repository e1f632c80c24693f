"""The formula sheet: identities in double precision, on logits drawn at random, and the library's own loss."""

from collections.abc import Callable
from dataclasses import replace
from math import log

import pytest
import torch
from torch import Tensor

import worlds
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.lm.view import Pass, View
from unteach.methods.finetune.ascent import GA
from unteach.methods.finetune.objectives import KL, NLL, Objective
from unteach.methods.finetune.preference import DPO, IDK, NPO, SimNPO

BETAS = (0.01, 0.1, 1.0, 4.5)


class Table:
    """Logits that stand for a model: what it says about the first four rows and their replacements."""

    def __init__(self, batch: Batch, seed: int) -> None:
        self.batch = batch
        generator = torch.Generator().manual_seed(seed)
        shape = (len(batch.targets), 40)
        self.logits = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    def view(self, *, frozen: bool = False) -> View:
        found = self.logits.detach() if frozen else self.logits
        whole = Pass(self.batch, lambda: found, lambda _layer: found)
        return View(whole, slice(0, 4), instead=View(whole, slice(4, 8)))


@pytest.fixture
def batch(llama: LM) -> Batch:
    """Four rows and four replacements, of different lengths, in a vocabulary of 40."""
    rows = llama.batch([replace(r, answer=r.answer[: 8 + 3 * i]) for i, r in enumerate(worlds.RECORDS[:8])])
    small = Batch(rows.ids % 40, rows.real, rows.answer, rows.records)
    assert len(set(small.lengths[:4].tolist())) > 1
    return small


def drawn(batch: Batch, seed: int = 0) -> Table:
    return Table(batch, seed)


def gradient(table: Table, loss: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, table.logits, retain_graph=True)
    return found


def logps(table: Table, rows: range) -> list[Tensor]:
    """The slow way: log-probabilities of the tokens of each row."""
    found, at = [], 0
    for b in range(len(table.batch.ids)):
        targets = table.batch.ids[b][table.batch.answer[b]]
        picked = [table.logits[at + t].log_softmax(-1)[token] for t, token in enumerate(targets)]
        at += len(targets)
        if b in rows:
            found.append(torch.stack(picked))
    return found


def assert_same(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


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
    table = drawn(batch)
    assert_same(NLL()(table.view(), table.view()), -torch.cat(logps(table, range(4))).mean())


def test_kl_and_its_gradient_vanish_at_the_reference(batch: Batch) -> None:
    now, before = drawn(batch), drawn(batch, 1)
    loss = KL()(now.view(), now.view(frozen=True))
    assert loss.abs() < 1e-15
    assert gradient(now, loss).abs().max() < 1e-15
    p, q = before.logits.log_softmax(-1)[: batch.offsets[4]], now.logits.log_softmax(-1)[: batch.offsets[4]]
    expected = (p.exp() * (p - q)).sum(-1).mean()
    found = KL()(now.view(), before.view())
    assert_same(found, expected)
    assert found > 0.1
    moved = gradient(now, found)[: batch.offsets[4]] * batch.offsets[4]
    assert_same(moved, q.exp() - p.exp())
    assert torch.autograd.grad(found, before.logits, allow_unused=True) == (None,)  # the past is fixed


def test_ga_is_minus_nll(batch: Batch) -> None:
    table = drawn(batch)
    ascent, descent = GA()(table.view(), table.view()), NLL()(table.view(), table.view())
    assert ascent == -descent
    assert torch.equal(gradient(table, ascent), -gradient(table, descent))


@pytest.mark.parametrize("beta", BETAS)
def test_npo_at_the_reference_is_sequence_ascent(batch: Batch, beta: float) -> None:
    now = drawn(batch)
    loss = NPO(beta)(now.view(), now.view(frozen=True))
    assert_same(loss, torch.tensor(2 / beta * log(2), dtype=torch.float64))
    sequences = torch.stack([row.sum() for row in logps(now, range(4))]).mean()
    assert_same(gradient(now, loss), gradient(now, sequences))
    means = gradient(now, torch.stack([row.mean() for row in logps(now, range(4))]).mean())
    step = gradient(now, loss)
    assert (means / means.norm() - step / step.norm()).norm() > 1e-2  # long answers weigh more


@pytest.mark.parametrize("beta", BETAS)
def test_npo_weighs_each_answer_by_how_little_it_is_forgotten(batch: Batch, beta: float) -> None:
    now, before = drawn(batch), drawn(batch, 1)
    sums = torch.stack([row.sum() for row in logps(now, range(4))])
    gap = (sums - torch.stack([row.sum() for row in logps(before, range(4))])).detach()
    found = gradient(now, NPO(beta)(now.view(), before.view(frozen=True)))
    assert_same(found, gradient(now, (2 * torch.sigmoid(beta * gap) * sums).mean()))


def test_npo_nears_ascent_as_beta_falls(batch: Batch) -> None:
    now, before = drawn(batch), drawn(batch, 1)
    ascent = gradient(now, torch.stack([row.sum() for row in logps(now, range(4))]).mean())
    far = [
        ((gradient(now, NPO(beta)(now.view(), before.view())) - ascent).norm() / ascent.norm()).item()
        for beta in (1e-3, 1e-4, 1e-5)
    ]
    assert far[0] / far[1] == pytest.approx(10, rel=0.05)
    assert far[1] / far[2] == pytest.approx(10, rel=0.05)


def test_what_is_forgotten_is_pushed_no_further(batch: Batch) -> None:
    now = drawn(batch)
    whole = now.view(frozen=True)._pass
    sure = View(whole, slice(0, 4), known=torch.zeros(batch.offsets[4], dtype=torch.float64))
    assert gradient(now, NPO(30.0)(now.view(), sure)).abs().max() < 1e-30
    assert gradient(now, NPO(0.1)(now.view(), sure)).abs().max() > 1e-6


def test_simnpo_for_small_beta_is_mean_ascent(batch: Batch) -> None:
    now = drawn(batch)
    means = torch.stack([row.mean() for row in logps(now, range(4))]).mean()
    found, expected = gradient(now, SimNPO(1e-6)(now.view(), now.view())), gradient(now, means)
    assert (found - expected).norm() / expected.norm() < 1e-5
    assert (gradient(now, SimNPO(4.5)(now.view(), now.view())) - expected).norm() / expected.norm() > 0.1


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("margin", [0.0, 1.5])
def test_simnpo_weighs_each_answer_by_its_probability(batch: Batch, beta: float, margin: float) -> None:
    """The weight of an answer is 2 q / (1 + q) with q its geometric mean probability to the power beta, e^margin times."""
    now = drawn(batch)
    means = torch.stack([row.mean() for row in logps(now, range(4))])
    q = (beta * means + margin).exp().detach()
    expected = gradient(now, (2 * q / (1 + q) * means).mean())
    assert_same(gradient(now, SimNPO(beta, margin)(now.view(), now.view())), expected)
    loss = -2 / beta * torch.sigmoid(-beta * means - margin).log().mean()
    assert_same(SimNPO(beta, margin)(now.view(), now.view()), loss)


def test_idk_is_nll_of_the_replacement(batch: Batch) -> None:
    now = drawn(batch)
    loss = IDK()(now.view(), now.view())
    expected = -torch.cat(logps(now, range(4, 8))).mean()
    assert_same(loss, expected)
    found = gradient(now, loss)
    assert found[: batch.offsets[4]].abs().max() == 0  # the old answer is left alone
    assert_same(found, gradient(now, NLL()(now.view().instead, now.view().instead)))


@pytest.mark.parametrize("beta", BETAS)
def test_dpo_without_its_winner_is_npo(batch: Batch, beta: float) -> None:
    """Where the replacement is as likely as it was, only the loser moves."""
    now, before = drawn(batch), drawn(batch, 1)
    winner = now.view(frozen=True).instead
    mine = View(now.view()._pass, slice(0, 4), instead=winner)
    past = View(before.view(frozen=True)._pass, slice(0, 4), instead=winner)
    assert_same(DPO(beta)(mine, past), NPO(beta)(now.view(), before.view()))
    assert_same(gradient(now, DPO(beta)(mine, past)), gradient(now, NPO(beta)(now.view(), before.view())))


@pytest.mark.parametrize("beta", BETAS)
def test_dpo_lifts_the_replacement_as_much_as_it_lowers_the_answer(batch: Batch, beta: float) -> None:
    now = drawn(batch)
    loss = DPO(beta)(now.view(), now.view(frozen=True))
    assert_same(loss, torch.tensor(2 / beta * log(2), dtype=torch.float64))
    lost = torch.stack([row.sum() for row in logps(now, range(4))])
    won = torch.stack([row.sum() for row in logps(now, range(4, 8))])
    assert_same(gradient(now, loss), gradient(now, (lost - won).mean()))


@pytest.mark.parametrize("make", [NLL, GA, KL, NPO, SimNPO, IDK, DPO])
def test_padding_and_neighbours_change_nothing(lm: LM, make: Callable[[], Objective]) -> None:
    """The same rows in a wider batch with rows before and after them: the same loss."""
    goal, wide = make(), [*worlds.RECORDS, worlds.RECORDS[8]]
    alone = lm.run(lm.batch(worlds.RECORDS[:8]))
    among = lm.run(lm.batch([worlds.RECORDS[8], *worlds.RECORDS[:8], *wide]))

    def loss(whole: Pass, at: int) -> Tensor:
        instead = View(whole, slice(at + 4, at + 8))
        now = View(whole, slice(at, at + 4), instead=instead)
        past = Pass(whole.batch, lambda: whole.logits.detach() * 0.9, lambda _layer: whole.logits)
        return goal(now, View(past, slice(at, at + 4), instead=View(past, slice(at + 4, at + 8))))

    torch.testing.assert_close(loss(alone, 0), loss(among, 1), rtol=1e-5, atol=1e-6)
