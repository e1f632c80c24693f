"""Dampening by two diagonals of Fisher matrices, against the model's own gradients, one row at a time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import worlds
from unteach.edit.patches import Scale, through
from unteach.lm.model import LM
from unteach.measure.answers import ask, probability
from unteach.measure.fisher import moments
from unteach.methods.neurons.ssd import SSD, factors
from unteach.schema import InputError, Record, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)


def slow_fisher(lm: LM, records: Sequence[Record]) -> dict[str, Tensor]:
    weights = lm.parameters()
    found = {n: torch.zeros_like(w, dtype=torch.float64) for n, w in weights.items()}
    for record in records:
        row = lm.encoder.row(record)
        logits = lm.model(torch.tensor([row.ids])).logits[0]
        lost = cross_entropy(logits[row.start - 1 : -1], torch.tensor(row.ids[row.start :]))
        for name, slope in zip(weights, torch.autograd.grad(lost, [*weights.values()]), strict=True):
            found[name] += slope.double().square() / len(records)
    return found


@pytest.mark.parametrize("against", ["retain", "all"])
def test_ssd_dampens_by_its_formula_and_leaves_every_other_weight_bit_for_bit(lm: LM, against: str) -> None:
    alpha, dampening = 2.0, 0.8
    edit = SSD(alpha, dampening, against)(lm, REQUEST)  # type: ignore[arg-type]
    gone, other = (
        slow_fisher(lm, rows) for rows in (worlds.FORGET, worlds.RETAIN if against == "retain" else worlds.RECORDS)
    )
    touched, all_weights = 0, 0
    for name, w in lm.parameters().items():
        before, after = w.detach(), through(edit.weights.get(name, ()), w.detach())
        # Rounding settles what is on the border, and what has no gradient but rounding (GPT-2's key biases).
        clear = (gone[name] / (alpha * other[name])).log().abs() > 0.05
        clear &= torch.maximum(gone[name], other[name]) > 1e-9 * gone[name].max()
        chosen = gone[name] > alpha * other[name]
        assert torch.equal(after[clear & ~chosen], before[clear & ~chosen])
        by = (dampening * other[name] / gone[name]).clamp(max=1)[clear & chosen]
        torch.testing.assert_close(after[clear & chosen], before[clear & chosen] * by.float(), rtol=0.02, atol=1e-6)
        touched, all_weights = touched + int(chosen.sum()), all_weights + w.numel()
    assert 0.005 < touched / all_weights < 0.5


def test_no_weight_that_matters_less_than_alpha_times_as_much_moves_by_a_bit(lm: LM) -> None:
    names = [*lm.parameters()]
    gone, other = (moments(lm, rows, names).square for rows in (worlds.FORGET, worlds.RETAIN))
    edit = SSD()(lm, REQUEST)
    for name, w in lm.parameters().items():
        before, after = w.detach(), through(edit.weights.get(name, ()), w.detach())
        stays = gone[name] <= 10 * other[name]
        assert torch.equal(after[stays], before[stays])
        assert bool((after.abs() <= before.abs()).all())


def test_the_factors_by_hand() -> None:
    gone = torch.tensor([0.0, 1.0, 4.0, 4.1, 8.0, 1.0])
    other = torch.tensor([0.0, 1.0, 2.0, 2.0, 2.0, 0.0])
    found = factors(gone, other, alpha=2.0, dampening=1.0)
    torch.testing.assert_close(found, torch.tensor([1, 1, 1, 2 / 4.1, 2 / 8, 0]))
    assert factors(gone, other, alpha=2.0, dampening=100.0).tolist() == [1, 1, 1, 1, 1, 0]


def test_a_higher_alpha_touches_fewer_weights_and_all_of_them_are_among_the_others(lm: LM) -> None:
    few, many = (SSD(alpha)(lm, REQUEST).weights for alpha in (50.0, 5.0))
    counts = []
    for name, (patch,) in few.items():
        (wide,) = many[name]
        assert isinstance(patch, Scale)
        assert isinstance(wide, Scale)
        assert bool((wide.by[patch.by < 1] < 1).all())
        counts.append((int((patch.by < 1).sum()), int((wide.by < 1).sum())))
    assert 0 < sum(a for a, _ in counts) < sum(b for _, b in counts)


def test_which_rows_are_lost_is_which_rows_were_to_go(lm: LM) -> None:
    def known(records: Sequence[Record]) -> float:
        return float(np.mean([probability(a) for a in ask(lm, records)]))

    before = known(worlds.FORGET), known(worlds.RETAIN)
    with SSD()(lm, REQUEST).on(lm):
        assert known(worlds.FORGET) < 0.1 * before[0]
        assert known(worlds.RETAIN) > 0.9 * before[1]
    with SSD()(lm, Request(forget=worlds.RETAIN, retain=worlds.FORGET)).on(lm):
        assert known(worlds.RETAIN) < 0.1 * before[1]
        assert known(worlds.FORGET) > 0.5 * before[0]


def test_what_cannot_be_is_refused(llama: LM) -> None:
    with pytest.raises(InputError, match="'alpha' above 0"):
        SSD(alpha=0.0)
    for missing in ("forget", "retain"):
        with pytest.raises(InputError, match=f"--{missing}"):
            SSD()(llama, replace(REQUEST, **{missing: ()}))
    with pytest.raises(InputError, match="lower 'alpha'"):
        SSD(alpha=3.01, against="all")(llama, REQUEST)  # four rows of twelve: no ratio is above 3
