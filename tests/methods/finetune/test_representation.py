"""Hidden states: RMU's two terms, its vector, and what it trains."""

from dataclasses import replace

import pytest
import torch
from random_logits import Table, assert_both, gradient, seen
from torch import Tensor

import worlds
from unteach.edit.plan import Plan
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.methods.finetune.finetune import Finetune
from unteach.methods.finetune.objectives import Anchor
from unteach.methods.finetune.representation import RMU
from unteach.schema import Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)


def slow(states: Tensor, goals: Tensor, batch: Batch) -> Tensor:
    """The mean over rows of the mean over a row's answer tokens of the mean over coordinates."""
    rows = []
    for first, last in zip(batch.offsets[:4], batch.offsets[1:5], strict=True):
        rows.append(torch.stack([((states[t] - goals[t]) ** 2).mean() for t in range(first, last)]).mean())
    return torch.stack(rows).mean()


def test_rmu_moves_states_to_its_vector_and_holds_the_others(batch: Batch) -> None:
    """Random numbers serve as states: 40 coordinates at each answer token."""
    now, before = Table(batch), Table(batch, 1)
    goal = RMU().vector(now.logits).expand_as(now.logits)
    assert_both(now, RMU()(now.view(), before.view()), slow(now.logits, goal, batch))
    arrived = seen(batch, goal)
    assert RMU()(arrived, arrived) == 0
    held = Anchor()(now.view(), now.view(frozen=True))
    assert held == 0
    assert gradient(now, held).abs().max() == 0
    moved = Anchor()(now.view(), before.view())
    assert_both(now, moved, slow(now.logits, before.logits.detach(), batch))
    assert torch.autograd.grad(moved, before.logits, allow_unused=True) == (None,)  # the past is fixed


@pytest.mark.parametrize("coefficient", [2.0, 6.5, 20.0])
def test_the_vector_is_positive_and_as_long_as_it_is_told(coefficient: float) -> None:
    like = torch.zeros(3, 64)
    u = RMU(coefficient=coefficient).vector(like)
    assert u.shape == (64,)
    assert u.norm().item() == pytest.approx(coefficient, rel=1e-6)
    assert u.min() > 0
    assert torch.equal(u, RMU(coefficient=coefficient).vector(like))
    other = RMU(coefficient=coefficient, topic=1).vector(like)
    assert torch.nn.functional.cosine_similarity(u, other, dim=0) < 0.95
    assert other.norm().item() == pytest.approx(coefficient, rel=1e-6)
    torch.testing.assert_close(u, coefficient * RMU(coefficient=1.0).vector(like))


def test_the_vector_owes_nothing_to_the_libraries_random_state() -> None:
    first = RMU().vector(torch.zeros(64))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = torch.random.get_rng_state()
        assert torch.equal(first, RMU().vector(torch.zeros(64)))
        assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("layer", "layers", "trained"),
    [
        (7 / 32, 32, "down:5-7"),
        (7 / 32, 3, "down:0-0"),
        (7.0, 32, "down:5-7"),
        (1.0, 3, "down:0-1"),
        (0.0, 3, "down:0-0"),
    ],
)
def test_the_block_and_the_two_below_it_are_trained(layer: float, layers: int, trained: str) -> None:
    assert RMU(layer=layer).tune(layers) == trained


@pytest.mark.parametrize("layer", [1.0, 0.0])
def test_nothing_but_down_projections_moves(lm: LM, layer: float) -> None:
    """What lies above the block, and every other weight, is no part of the edit; and it is the retain term's block too."""
    plan = Plan(epochs=2, lr=1e-3, batch_size=4, accumulate=1)
    edit = Finetune("rmu", {"layer": layer}, plan=plan)(lm, REQUEST)
    down = [n for n in lm.parameters() if "mlp.down_proj" in n or "mlp.c_proj" in n]
    assert {n for n in down if int(n.split(".")[2]) <= layer} == set(edit.weights)
    assert f"1 * Anchor(layer={layer})" in edit.made_by
    with edit.on(lm), torch.no_grad():
        worn = {n: p.detach().clone() for n, p in lm.parameters().items()}
    moved = {n for n, p in lm.parameters().items() if not torch.equal(p, worn[n])}
    assert moved == set(edit.weights)


def test_the_states_come_nearer_with_every_step(lm: LM) -> None:
    """Steps down the gradient on one batch; the distance falls each time, and the anchor's grows from 0."""
    rows, trained = lm.batch(worlds.FORGET), [n for n in lm.parameters() if "down_proj" in n or "mlp.c_proj" in n]
    weights = {n: p.detach().clone() for n, p in lm.parameters().items()}
    goal, held = RMU(layer=1.0, coefficient=5.0), Anchor(layer=1.0)
    before = View(lm.run(rows), slice(0, len(worlds.FORGET)))
    distances, gaps = [], []
    for _ in range(12):
        for name in trained:
            weights[name].requires_grad_()
        now = View(lm.run(rows, weights=weights), slice(0, len(worlds.FORGET)))
        loss = goal(now, before)
        distances.append(loss.item())
        gaps.append(held(now, before).item())
        slopes = torch.autograd.grad(loss, [weights[n] for n in trained], allow_unused=True, materialize_grads=True)
        weights |= {n: weights[n].detach() - 0.2 * s for n, s in zip(trained, slopes, strict=True)}
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.9 * distances[0]
    assert gaps[0] == 0
    assert gaps == sorted(gaps)


def test_an_anchor_alone_changes_nothing_at_the_start(lm: LM) -> None:
    view = View(lm.run(lm.batch(worlds.RETAIN)), slice(0, len(worlds.RETAIN)))
    past = View(lm.run(lm.batch(worlds.RETAIN)), slice(0, len(worlds.RETAIN)))
    for layer in (0.0, 1.0, 2.0):
        held = replace(Anchor(), layer=layer)(view, past)
        assert held == 0
        slopes = torch.autograd.grad(held, list(lm.model.parameters()), allow_unused=True, materialize_grads=True)
        assert max(s.abs().max().item() for s in slopes) == 0
