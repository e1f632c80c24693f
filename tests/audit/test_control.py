"""Mixing: the end points are the two models, and the chosen part keeps what was asked for."""

import pytest
import torch

from unteach.audit.control import at, at_equal_retention, mix
from unteach.edit.edit import Edit
from unteach.edit.maps import Shift
from unteach.edit.patches import Put
from unteach.lm.model import LM
from worlds import FORGET, RETAIN


@pytest.fixture
def noisy(llama: LM) -> Edit:
    """An edit that ruins everything when it is worn whole."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: (Put(p.detach() + 0.2 * torch.randn(p.shape, generator=generator)),)
        for name, p in llama.parameters().items()
        if "mlp" in name
    }
    return Edit(llama.digest(), weights)


def test_the_ends_of_the_curve_are_the_two_models(llama: LM, noisy: Edit) -> None:
    points = mix(llama, noisy, FORGET, RETAIN, grid=(0.0, 0.5, 1.0))
    assert [p["alpha"] for p in points] == [0.0, 0.5, 1.0]
    nothing = Edit(llama.digest(), {n: (Put(llama.parameters()[n].detach()),) for n in noisy.weights})
    assert points[0]["retain"] == at(llama, nothing, 1.0, FORGET, RETAIN)["retain"]
    with noisy.on(llama):
        digest = llama.digest()
    assert digest != llama.digest()
    assert points[2] == {"alpha": 1.0, **at(llama, noisy, 1.0, FORGET, RETAIN)}
    assert points[0]["retain"] > points[2]["retain"]


def test_the_chosen_part_keeps_its_share_and_the_next_step_would_not(llama: LM, noisy: Edit) -> None:
    whole = at(llama, noisy, 0.0, FORGET, RETAIN, "exact")["retain"]
    found = at_equal_retention(llama, noisy, FORGET, RETAIN, tau=0.9, measure="exact")
    assert 0 <= found["alpha"] < 1
    assert found["retain"] >= 0.9 * whole
    beyond = at(llama, noisy, round(found["alpha"] + 0.01, 2), FORGET, RETAIN, "exact")["retain"]
    assert beyond < 0.9 * whole


def test_what_has_no_part_is_not_mixed(llama: LM) -> None:
    shifted = Edit(llama.digest(), activations={"model.norm": (Shift(torch.ones(64)),)})
    assert mix(llama, shifted, FORGET, RETAIN) == ()
    assert mix(llama, Edit(llama.digest()), FORGET, RETAIN) == ()
