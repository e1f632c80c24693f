"""Heads that publish with noise: the weights beneath it are as near to the retrained ones as the noise is made for."""

from dataclasses import replace

import numpy as np
import pytest

from unteach.lm.heads import Table
from unteach.methods.exact.heads.descenttodelete import DescentToDelete
from unteach.methods.exact.heads.logistic import Loss, minimise, nothing, prepared
from unteach.methods.exact.heads.sekhari import Sekhari
from unteach.schema import InputError

N = 400
FEW = [f"r{i}" for i in range(5)]


def table(classes: int, seed: int, n: int = N, d: int = 5) -> Table:
    dice = np.random.default_rng(seed)
    y = dice.integers(0, classes, n)
    return Table(tuple(f"r{i}" for i in range(n)), dice.standard_normal((n, d)) + 2 * np.eye(classes, d)[y], y)


def minimum(rows: Table, classes: int, strength: float) -> np.ndarray:
    start = nothing(rows, classes)
    return minimise(Loss.of(prepared(rows, classes), strength, start), start).weights


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_a_step_without_the_kept_rows_lands_within_the_bound_that_its_noise_is_made_for(
    classes: int, strength: float
) -> None:
    rows = table(classes, seed=1, n=4000)
    alike = [i for i, y in zip(rows.ids, rows.y, strict=True) if y == 0]  # these pull the weights one way
    learner = Sekhari(classes, strength=strength, capacity=6, keep_rows=False, seed=3)
    first = state = learner.fit(rows)
    assert state.table.ids == ()
    bound = learner.distance(4000)
    for many in (1, 2, 3):
        now, alike = alike[:many], alike[many:]
        state, guarantee = learner.take_out(state, rows.only(now))
        aim = minimum(rows.only(state.alive), classes, strength)
        assert distance(state.minimum + state.curvature.solver()(state.pull), aim) <= bound
    assert distance(first.minimum, aim) > bound, "without the step it is not so near"
    assert (guarantee.kind, guarantee.numbers["out"], guarantee.numbers["n"]) == ("certified", 6, 3994)
    assert "noise of the same scale" in guarantee.claim


def test_the_step_is_the_newton_step_of_the_rows_that_are_left() -> None:
    rows = table(2, seed=2)
    learner = Sekhari(seed=1)
    state, _ = learner.delete(learner.fit(rows), FEW[:2])
    state, _ = learner.delete(state, FEW[2:])
    left = prepared(rows.without(FEW), 2)
    loss = Loss.of(left, learner.strength, np.zeros((1, 5)))
    whole = state.minimum - loss.curvature(state.minimum).solver()(loss.gradient(state.minimum))
    np.testing.assert_allclose(state.minimum + state.curvature.solver()(state.pull), whole, atol=1e-9)
    assert state.table.ids == left.ids


@pytest.mark.parametrize("learner", [Sekhari(3, strength=0.5), DescentToDelete(3, strength=0.5)])
def test_what_is_published_bears_the_noise_that_is_claimed(learner: Sekhari | DescentToDelete) -> None:
    rows = table(3, seed=3)
    state = learner.fit(rows)
    heads, beneath = [learner.release(state).weights], []
    for _ in range(300):
        after, guarantee = learner.delete(state, FEW)
        heads.append(learner.release(after).weights)
        beneath.append(after.pull if isinstance(learner, Sekhari) else after.weights)
    scale = guarantee.numbers["scale"]
    assert scale == learner.scale(N)
    assert np.std(heads[1:], axis=0).mean() == pytest.approx(scale, rel=0.05)
    assert len({b.tobytes() for b in beneath}) == 1, "what lies beneath the noise does not change"
    assert abs(learner.release(state).bias).max() == 0


def test_published_noise_is_that_of_the_formulas() -> None:
    learner = Sekhari(4, epsilon=0.5, delta=1e-3, strength=0.2, capacity=7)
    steep = 1 + 0.2 * np.sqrt(2 * np.log(2) / 0.2)
    g = np.sqrt(4) * 2 / (6 * np.sqrt(3)) * steep**2 * 7**2 / (100**2 * 0.2**3)
    assert learner.scale(100) == pytest.approx(g / 0.5 * np.sqrt(2 * np.log(1.25e3)))
    other = DescentToDelete(epsilon=0.5, delta=1e-3, strength=0.2, steps=3)
    left = ((0.45 - 0.2) / (0.45 + 0.2)) ** 3
    root = np.log(1e3)
    wanted = 4 * np.sqrt(2) * steep * left / (0.2 * 100 * (1 - left) * (np.sqrt(root + 0.5) - np.sqrt(root)))
    assert other.scale(100) == pytest.approx(wanted)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("strength", "steps"), [(0.01, 60), (0.3, 8)])
def test_descent_stays_as_near_to_the_minimum_as_its_noise_is_made_for(
    classes: int, strength: float, steps: int
) -> None:
    rows = table(classes, seed=4)
    learner = DescentToDelete(classes, strength=strength, steps=steps, seed=5)
    state, taken = learner.fit(rows), []
    order = list(np.random.default_rng(6).permutation(rows.ids))
    for many in (0, 1, 1, 1, 30, 100, 1):
        before = state
        now, order = order[:many], order[many:]
        if now:
            state, guarantee = learner.delete(state, now)
            taken.append(guarantee.numbers["steps"])
        aim = minimum(state.table, classes, strength)
        assert np.linalg.norm(state.weights - aim, axis=1).max() <= learner.radius(N)
        assert many < 30 or np.linalg.norm(before.weights - aim, axis=1).max() > learner.radius(N)
    assert taken[0] <= learner.steps < taken[3] < taken[4] < 100 * learner.steps
    assert guarantee.kind == "certified"


def test_noise_costs_a_strongly_held_head_little() -> None:
    rows = table(2, seed=7, n=3000)
    for learner in (Sekhari(capacity=20), DescentToDelete(steps=20)):
        state, _ = learner.delete(learner.fit(rows), FEW)
        plain = minimum(rows, 2, learner.strength)
        agree = (learner.release(state)(rows.x) == (rows.x @ plain[0] > 0)).mean()
        assert agree > 0.9, type(learner).__name__


def test_what_a_deleted_row_said_makes_no_difference_to_descent_and_little_to_the_step() -> None:
    rows = table(2, seed=8)
    changed = np.isin(rows.ids, FEW)
    other = replace(rows, x=np.where(changed[:, None], -3.0, rows.x), y=np.where(changed, 1 - rows.y, rows.y))
    step, descent = Sekhari(strength=0.5, capacity=5), DescentToDelete(strength=0.5)
    stepped = [step.delete(step.fit(r), FEW)[0] for r in (rows, other)]
    ends = [s.minimum + s.curvature.solver()(s.pull) for s in stepped]
    assert distance(*ends) <= 2 * step.distance(N) < distance(*(s.minimum for s in stepped))
    went = [descent.delete(descent.fit(r), FEW)[0] for r in (rows, other)]
    assert distance(*(s.weights for s in went)) <= 2 * descent.radius(N)


def test_what_the_noise_is_not_made_for_is_refused() -> None:
    rows = table(2, seed=9)
    step, descent = Sekhari(capacity=5), DescentToDelete()
    state = step.delete(step.fit(rows), FEW[:3])[0]
    with pytest.raises(InputError, match="made for 5 deletions and 6 are asked"):
        step.delete(state, ["r10", "r11", "r12"])
    with pytest.raises(InputError, match="not held"):
        step.delete(state, FEW[:1])
    with pytest.raises(InputError, match="'capacity' of at most 20"):
        Sekhari().fit(rows.only(rows.ids[:40]))
    with pytest.raises(InputError, match="fewer than half"):
        descent.delete(descent.fit(rows), [f"r{i}" for i in range(201)])
    bare = Sekhari(capacity=5, keep_rows=False)
    with pytest.raises(InputError, match="keeps no rows"):
        bare.delete(bare.fit(rows), FEW)
    with pytest.raises(InputError, match="sekhari wants"):
        Sekhari(epsilon=1.5)
    with pytest.raises(InputError, match="descenttodelete wants"):
        DescentToDelete(steps=0)
