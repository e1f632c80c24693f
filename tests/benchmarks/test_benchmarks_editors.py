"""The comparison of trained editors with fine-tuning: the loop it compares with, and how equal locality is read off."""

from dataclasses import replace

import pytest
import torch
from benchmarks.editors import _at
from benchmarks.straightforward.finetuning import finetuned

import worlds
from unteach.lm.model import LM
from unteach.measure.answers import ask, loss
from unteach.methods.facts.gradients import mlp_maps
from unteach.methods.facts.lessons import row


def test_fine_tuning_lowers_the_loss_to_where_it_is_enough_and_leaves_the_model(lm: LM) -> None:
    before, asked = worlds.state(lm), row(lm, worlds.RECORDS[0].prompt, worlds.RECORDS[1].answer)
    names = [f"{path}.weight" for path in mlp_maps(lm, 3)]
    steps = list(finetuned(lm, asked, names, lr=1e-3, steps=20, enough=0.3))
    assert worlds.state(lm) == before
    assert steps[-1][0] < 0.3 < steps[0][0]
    assert all(torch.equal(chain[0].value, lm.parameters()[n]) for n, chain in steps[0][1].weights.items())
    with steps[-1][1].on(lm):
        (answer,) = ask(lm, [replace(worlds.RECORDS[1], prompt=worlds.RECORDS[0].prompt)])
    assert loss(answer.words) == pytest.approx(steps[-1][0], rel=1e-4)
    assert len(list(finetuned(lm, asked, names, lr=1e-6, steps=3, enough=0.3))) == 4


def test_at_equal_locality_a_curve_is_read_off_between_its_points() -> None:
    def point(reliability: float, locality: float) -> dict[str, float]:
        return {"reliability": reliability, "generalisation": reliability / 2, "locality": locality}

    curves = {"slow": [point(0.2, 1.0), point(0.6, 0.9), point(1.0, 0.5)], "rash": [point(1.0, 0.4), point(1.0, 0.3)]}
    assert _at(curves, 0.95) == {"slow": {"reliability": pytest.approx(0.4), "generalisation": pytest.approx(0.2)}}
    assert _at(curves, 0.4)["rash"]["reliability"] == 1.0
    assert _at(curves, 0.1) == {}
