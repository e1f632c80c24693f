"""Hidden states: RMU's two terms, its vector and what it trains; what rerouting turns, holds, and when."""

from dataclasses import replace

import pytest
import torch
from random_logits import Table, assert_both, gradient, seen
from torch import Tensor

import worlds
from unteach.edit.patches import AddOuter
from unteach.edit.plan import Plan
from unteach.edit.rows import DONE, Sides
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.lm.view import Pass, View
from unteach.methods.finetune.finetune import Finetune
from unteach.methods.finetune.objectives import Anchor
from unteach.methods.finetune.representation import RMU, Drift, Rerouting
from unteach.schema import Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)


def per_row(values: list[Tensor], batch: Batch) -> Tensor:
    """The mean over rows of the mean over a row's answer tokens."""
    rows = zip(batch.offsets[:4], batch.offsets[1:5], strict=True)
    return torch.stack([torch.stack(values[first:last]).mean() for first, last in rows]).mean()


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


def test_rerouting_is_nothing_where_states_are_orthogonal_or_opposite(batch: Batch) -> None:
    """Random numbers serve as states, the same after both blocks; the slow way token by token."""
    now, before = Table(batch), Table(batch, 1)
    old = before.logits.detach()
    loss = Rerouting()(now.view(), before.view())
    cosines = [(a @ b / (a.norm() * b.norm())).clamp_min(0) for a, b in zip(now.logits, old, strict=True)]
    assert_both(now, loss, per_row(cosines, batch))
    assert torch.autograd.grad(loss, before.logits, allow_unused=True) == (None,)  # the past is fixed
    turned = torch.cat([old[:, 20:], -old[:, :20]], 1).requires_grad_()  # a quarter turn
    for states, expected in ((turned, 0.0), (-old, 0.0), (3 * old, 1.0)):
        found = Rerouting()(seen(batch, states), before.view())
        assert found.item() == pytest.approx(expected, abs=1e-12)
    opposite = (-2 * old).requires_grad_()
    away = Rerouting()(seen(batch, opposite), before.view())
    assert away == 0
    assert not torch.autograd.grad(away, opposite)[0].any()


def test_drift_is_how_far_states_have_come(batch: Batch) -> None:
    now, before = Table(batch), Table(batch, 1)
    gaps = [(a - b).norm() for a, b in zip(now.logits, before.logits.detach(), strict=True)]
    moved = Drift()(now.view(), before.view())
    assert_both(now, moved, per_row(gaps, batch))
    assert torch.autograd.grad(moved, before.logits, allow_unused=True) == (None,)
    held = Drift()(now.view(), now.view(frozen=True))
    assert held == 0
    assert gradient(now, held).abs().max() == 0
    step = torch.zeros(40, dtype=torch.float64).index_fill(0, torch.tensor([3]), 0.25)
    assert Drift()(seen(batch, now.logits + step), now.view()).item() == pytest.approx(0.25)


def test_the_two_blocks_are_read_each_by_itself(lm: LM) -> None:
    """One of them at rest, the other moved by an edit above it: half of what both together would be."""
    rows = lm.batch(worlds.RETAIN)
    with torch.no_grad():
        before = {layer: lm.run(rows).hidden(layer) for layer in (0.0, 1.0)}
    past = View(Pass(rows, lambda: before[0.0], before.__getitem__), slice(0, len(worlds.RETAIN)))
    edit = Finetune("rmu", {"layer": 1.0}, plan=Plan(tune="down:1", epochs=2, lr=1e-2, batch_size=4, accumulate=1))
    with edit(lm, REQUEST).on(lm), torch.no_grad():
        now = View(lm.run(rows), slice(0, len(worlds.RETAIN)))
        half, whole = Drift(0.0, 1.0)(now, past), Drift(1.0, 1.0)(now, past)
        assert whole > 0
        torch.testing.assert_close(half, whole / 2)
        below, turned = Rerouting(0.0, 0.0)(now, past), Rerouting(1.0, 1.0)(now, past)
        torch.testing.assert_close(Rerouting(0.0, 1.0)(now, past), (below + turned) / 2)
        assert below.item() == pytest.approx(1, abs=1e-5)


def test_the_weight_goes_over_from_turning_away_to_holding(lm: LM) -> None:
    """alpha (1 - t/2) and alpha t/2 at each step t of a training, as its loss is made of the two terms."""
    plan = Plan(tune="full", epochs=2, lr=1e-3, batch_size=2, accumulate=1)
    method = Finetune("rerouting", {"lower": 0.0, "upper": 1.0, "alpha": 6.0}, plan=plan)
    task, goal, held = method.task(REQUEST), Rerouting(0.0, 1.0), Drift(0.0, 1.0)
    seen_at: list[float] = []

    def checked(now: Sides, before: Sides) -> Tensor:
        t, loss = task.state[DONE], task.loss(now, before)
        seen_at.append(t)
        terms = goal(now.forget, before.forget), held(now.retain, before.retain)
        torch.testing.assert_close(loss, 6 * (1 - t / 2) * terms[0] + 6 * t / 2 * terms[1])
        return loss

    edit = method.train(lm, replace(task, loss=checked))
    assert seen_at == [0.0, 0.25, 0.5, 0.75]
    assert edit.digest() == method(lm, REQUEST).digest()
    assert Rerouting().factors(0.0) == (10.0, 0.0)
    assert Rerouting().factors(1.0) == (5.0, 5.0)
    assert Finetune("npo", plan=plan).task(REQUEST).state[DONE] == 0


@pytest.mark.parametrize(("layers", "trained"), [(32, "lora:0-19"), (3, "lora:0-1"), (1, "lora:0-0")])
def test_an_adapter_of_the_blocks_up_to_the_upper_one_is_trained(layers: int, trained: str) -> None:
    assert Rerouting().tune(layers) == trained
    assert Rerouting(lower=0.0, upper=0.0).tune(layers) == "lora:0-0"


def test_rerouting_makes_an_adapter_and_rmu_none(lm: LM) -> None:
    plan = Plan(rank=2, epochs=2, batch_size=4, accumulate=1)
    edit = Finetune("rerouting", plan=plan)(lm, REQUEST)
    assert {int(name.split(".")[2]) for name in edit.weights} == {0, 1}
    assert all(isinstance(patch, AddOuter) for chain in edit.weights.values() for patch in chain)
    made = [
        Finetune(o, plan=p).makes_adapter
        for o in ("rerouting", "rmu", "npo")
        for p in (plan, replace(plan, tune="full"))
    ]
    assert made == [True, False, False, False, True, False]
