"""A sparse mask under which forgotten rows look unseen."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import kl_div

import worlds
from unteach.edit.edit import Edit
from unteach.edit.patches import Put
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.measure.answers import ask, probability
from unteach.methods.neurons.forsaken import Forsaken, divergence, unseen
from unteach.schema import InputError, Record, Request

UNSEEN = tuple(Record(f"unseen-{t}", f"What is {t} known for?", f"{t} has nothing at all.") for t in "XYZ")
REQUEST = Request(forget=worlds.FORGET, holdout=UNSEEN)
RATE, PENALTY = 1e-3, 0.01
ONE = Plan(tune="full", epochs=1, lr=RATE, batch_size=4, accumulate=1, warmup_epochs=0.0, decay="constant")
LONG = replace(ONE, epochs=25)


def masks(lm: LM, edit: Edit) -> dict[str, Tensor]:
    assert all(isinstance(patch, Put) for (patch,) in edit.weights.values())
    return {name: patch.value - lm.parameters()[name].detach() for name, (patch,) in edit.weights.items()}


def slow_target(lm: LM) -> Tensor:
    """What the model says at each answer token of each unseen row, one row at a time."""
    with torch.no_grad():
        said = [row for record in UNSEEN for row in lm.logits(lm.batch([record])).double().softmax(-1)]
    return torch.stack(said).mean(0)


def test_forsaken_moves_no_weight_whose_gradient_is_below_the_penalty(lm: LM) -> None:
    """The first step, number by number: Adam's is rate * g / (|g| + eps), what the penalty takes rate * penalty / (|g| + eps)."""
    weights, target = lm.parameters(), slow_target(lm)
    batch = lm.batch(worlds.FORGET)
    logps = lm.logits(batch).log_softmax(-1)
    wanted = kl_div(target.float().log().expand_as(logps), logps, reduction="sum", log_target=True) / len(logps)
    slopes = dict(zip(weights, torch.autograd.grad(wanted, list(weights.values())), strict=True))
    moved = 0
    for name, mask in masks(lm, Forsaken(penalty=PENALTY, plan=ONE)(lm, REQUEST)).items():
        size = slopes[name].abs()
        assert not mask[size < 0.99 * PENALTY].any()
        assert (mask[size > 1.01 * PENALTY] != 0).all()
        step = -RATE * slopes[name].sign() * (size - PENALTY).clamp_min(0) / (size + 1e-8)
        assert torch.allclose(mask, step, rtol=0, atol=1e-5 * RATE + 2e-7)
        moved += int((mask != 0).sum())
    assert 0 < moved < 0.2 * sum(p.numel() for p in weights.values())


def test_a_penalty_above_every_gradient_leaves_the_model_as_it_was(lm: LM) -> None:
    assert not any(mask.any() for mask in masks(lm, Forsaken(penalty=1e9, plan=LONG)(lm, REQUEST)).values())


def test_a_greater_penalty_moves_fewer_weights(llama: LM) -> None:
    counts = [
        sum(
            int((mask != 0).sum())
            for mask in masks(llama, Forsaken(penalty=p, plan=replace(ONE, epochs=5))(llama, REQUEST)).values()
        )
        for p in (0.0, 0.01, 0.03)
    ]
    assert counts[0] > 2 * counts[1] > 4 * counts[2] > 0


def test_forgotten_rows_come_to_look_unseen_before_others_do(lm: LM) -> None:
    def seen(rows: tuple[Record, ...]) -> tuple[float, float]:
        with torch.no_grad():
            away = divergence(lm.logits(lm.batch(rows)), slow_target_before)
        return sum(map(probability, ask(lm, rows))) / len(rows), float(away)

    slow_target_before = slow_target(lm).log()
    gone, kept = seen(worlds.FORGET), seen(worlds.RETAIN)
    with Forsaken(penalty=PENALTY, plan=LONG)(lm, REQUEST).on(lm):
        after, beside = seen(worlds.FORGET), seen(worlds.RETAIN)
    assert after[0] < 0.5 * gone[0]
    assert after[1] < 0.5 * gone[1]
    assert after[0] / gone[0] < 0.8 * beside[0] / kept[0]


def test_what_unseen_rows_look_like_is_a_mean_of_distributions(lm: LM) -> None:
    found = unseen(lm, UNSEEN)
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-6)
    assert torch.allclose(found.exp(), slow_target(lm), rtol=1e-4, atol=1e-8)


def test_the_divergence_is_zero_where_there_is_none() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    target = torch.randn(7, generator=generator, dtype=torch.float64).log_softmax(-1)
    oracle = kl_div(target.expand(5, 7), logits.log_softmax(-1), reduction="batchmean", log_target=True)
    assert divergence(logits, target).item() == pytest.approx(oracle.item(), rel=1e-12)
    assert divergence(target.expand(5, 7), target).item() == pytest.approx(0, abs=1e-14)


def test_what_cannot_be_is_refused(llama: LM) -> None:
    with pytest.raises(InputError, match="holdout"):
        Forsaken(plan=ONE)(llama, Request(forget=worlds.FORGET))
    with pytest.raises(InputError, match="forget"):
        Forsaken(plan=ONE)(llama, Request(holdout=UNSEEN))
    with pytest.raises(InputError, match="not below 0"):
        Forsaken(penalty=-1.0)
