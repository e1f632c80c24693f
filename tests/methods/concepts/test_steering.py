"""Steering: where the mean state goes, what nothing changes, and states that keep their length."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import worlds
from unteach.edit import store
from unteach.edit.maps import Turn
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM
from unteach.lm.trace import Site
from unteach.measure.answers import ask, probability
from unteach.measure.residuals import last_states
from unteach.methods.concepts.steering import Steering
from unteach.schema import Record, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)


def mean(lm: LM, rows: tuple[Record, ...], layer: int) -> Tensor:
    return last_states(lm, [lm.encoder.row(r).prompt for r in rows])[:, layer].mean(0)


def logits(lm: LM) -> Tensor:
    with torch.no_grad():
        return lm.logits(lm.batch(worlds.RECORDS))


@pytest.mark.parametrize("direction", ["means", "pca"])
def test_steering_moves_the_mean_state_onto_the_other_and_by_nothing_leaves_all(
    lm: LM, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    retain, forget = mean(lm, worlds.RETAIN, 1), mean(lm, worlds.FORGET, 1)
    steer = Steering(layer=1.0, coefficient=-1.0, direction=direction)
    vector = steer.vector(lm, REQUEST, 1)
    edit = steer(lm, REQUEST)
    with edit.on(lm):
        now = mean(lm, worlds.FORGET, 1)
    torch.testing.assert_close(now, forget - vector, rtol=1e-4, atol=1e-4)
    goal = retain if direction == "means" else forget - vector * (vector @ (forget - retain)) / vector.square().sum()
    torch.testing.assert_close(now, goal, rtol=1e-4, atol=1e-4)
    assert edit.guarantee.kind == "suppression"
    with monkeypatch.context() as padded:
        padded.setattr("unteach.lm.model.packs", lambda _model: False)  # as whatever is tapped
        before = logits(lm)
    for renormalise in (False, True):
        nothing = Steering(coefficient=0.0, direction=direction, renormalise=renormalise)(lm, REQUEST)
        with nothing.on(lm):
            assert torch.equal(logits(lm), before)
    with edit.on(lm):
        assert not torch.equal(logits(lm), before)


def test_the_principal_axis_is_that_of_the_pairs(lm: LM) -> None:
    """A longest axis: no other unit vector has a larger mean square along it."""
    found = Steering(direction="pca").vector(lm, REQUEST, 1)
    steer = Steering(direction="pca")
    forget, retain = (steer._states(lm, rows, 1) for rows in (worlds.FORGET, worlds.RETAIN))
    pairs = forget[torch.arange(len(retain)) % len(forget)] - retain
    values, axes = torch.linalg.eigh((pairs.T @ pairs).double())
    axis = axes[:, -1].float()
    assert values[-1] > values[-2]
    torch.testing.assert_close(
        found.abs(), (axis * (axis @ (forget.mean(0) - retain.mean(0)))).abs(), rtol=1e-3, atol=1e-4
    )


def test_renormalised_states_keep_their_length_and_padding_stays(lm: LM) -> None:
    path = f"{anatomy(lm.model).blocks}.1"
    lengths: list[Tensor] = []

    def read(h: Tensor, _site: Site) -> None:
        lengths.append(h.norm(dim=-1))

    batch = lm.batch(worlds.RECORDS)
    for edit in (Steering(layer=1.0, coefficient=0.0), Steering(layer=1.0, renormalise=True), Steering(layer=1.0)):
        with edit(lm, REQUEST).on(lm), lm.tap(path, read), torch.no_grad():
            lm.logits(batch)
    before, turned, shifted = lengths
    torch.testing.assert_close(turned, before, rtol=1e-5, atol=1e-5)
    assert (shifted - before)[batch.real].abs().max() > 0.01
    assert torch.equal(turned[~batch.real], before[~batch.real])


def test_a_state_that_is_nothing_stays() -> None:
    site = Site(torch.ones(1, 2, dtype=torch.bool), torch.tensor([[0, 1]]), torch.tensor([1]))
    h = torch.tensor([[[0.0, 0.0], [3.0, 4.0]]])
    turned = Turn(torch.tensor([0.0, -4.0]))(h, site)
    torch.testing.assert_close(turned, torch.tensor([[[0.0, 0.0], [5.0, 0.0]]]))
    assert torch.equal(Turn(torch.tensor([-3.0, -4.0]))(h, site)[0, 1], h[0, 1])  # nothing is left to turn


def test_more_steering_hides_more(lm: LM) -> None:
    told = []
    for c in (0.0, -2.0, -4.0):
        with Steering(coefficient=c)(lm, REQUEST).on(lm):
            told.append(sum(probability(a) for a in ask(lm, worlds.FORGET)))
    assert told == sorted(told, reverse=True)


def test_a_turn_survives_the_disk(llama: LM, tmp_path: Path) -> None:
    edit = Steering(renormalise=True)(llama, REQUEST)
    store.save(edit, tmp_path)
    with edit.on(llama):
        worn = logits(llama)
    with store.load(tmp_path).on(llama):
        assert torch.equal(logits(llama), worn)
