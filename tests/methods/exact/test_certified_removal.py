"""Certified heads: the loss, what a deletion leaves of the gradient, what that costs, and whether anyone can tell."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from unteach.audit.epsilon import bound_of_scores
from unteach.lm.heads import Table
from unteach.methods.exact.heads import logistic
from unteach.methods.exact.heads.certifiedremoval import Certified, CertifiedRemoval, bound_of_one_step
from unteach.methods.exact.heads.logistic import Loss, minimise, nothing, prepared
from unteach.schema import InputError

DRAWS = 300


def table(n: int, d: int, classes: int, seed: int) -> Table:
    dice = np.random.default_rng(seed)
    x, y = dice.standard_normal((n, d)), dice.integers(0, classes, n)
    return Table(tuple(f"r{i}" for i in range(n)), x + 0.7 * np.eye(classes, d)[y], y)


def retrained(learner: CertifiedRemoval, state: Certified, rows: Table) -> np.ndarray:
    """The minimum on these rows alone, under the state's noise, found from 0."""
    loss = Loss.of(prepared(rows, learner.classes), learner.strength, state.noise)
    return minimise(loss, nothing(rows, learner.classes)).weights


@pytest.mark.parametrize("classes", [2, 3])
def test_the_gradient_and_the_curvature_are_those_of_the_loss(classes: int) -> None:
    rows = prepared(table(30, 4, classes, seed=1), classes)
    noise = np.random.default_rng(2).standard_normal(nothing(rows, classes).shape)
    loss = Loss.of(rows, 0.05, noise)

    def value(flat: np.ndarray) -> float:
        w = flat.reshape(noise.shape)
        of_class = np.arange(classes) if classes > 2 else [1]
        signs = 2.0 * (rows.y[:, None] == of_class) - 1
        penalty = 0.05 * 30 / 2 * (w**2).sum()
        return np.log1p(np.exp(-signs * (rows.x @ w.T))).sum() + penalty + (noise * w).sum()

    def slope(flat: np.ndarray, step: float = 1e-5) -> np.ndarray:
        eye = step * np.eye(flat.size)
        return np.array([(value(flat + e) - value(flat - e)) / (2 * step) for e in eye])

    at = np.random.default_rng(3).standard_normal(noise.shape)
    np.testing.assert_allclose(loss.gradient(at).ravel(), slope(at.ravel()), atol=1e-7)
    moved = np.random.default_rng(4).standard_normal(noise.shape)
    turned = (loss.gradient(at + 1e-5 * moved) - loss.gradient(at - 1e-5 * moved)) / 2e-5
    np.testing.assert_allclose(np.einsum("kij,kj->ki", loss.curvature(at).matrix, moved), turned, atol=1e-7)
    found = minimise(loss, nothing(rows, classes))
    other = minimize(value, np.zeros(noise.size), method="BFGS", options={"gtol": 1e-7}).x
    assert found.residual < logistic.TOLERANCE
    np.testing.assert_allclose(found.weights.ravel(), other, atol=1e-5)


def test_the_minimum_is_found_from_afar_and_with_the_curvature_of_another_place() -> None:
    rows = prepared(table(50, 5, 2, seed=5), 2)
    loss = Loss.of(rows, 1e-4, np.full((1, 5), 0.5))
    near = minimise(loss, nothing(rows, 2))
    far = minimise(loss, np.full((1, 5), 300.0), loss.curvature(np.full((1, 5), -200.0)))
    assert max(near.residual, far.residual) < logistic.TOLERANCE
    np.testing.assert_allclose(far.weights, near.weights, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("batches", [[1, 1, 1], [5, 30], [60]])
def test_a_certified_deletion_lands_on_the_retrained_head_and_pays_for_what_is_left(
    classes: int, batches: list[int]
) -> None:
    learner = CertifiedRemoval(classes, seed=7)
    rows = table(200, 6, classes, seed=6)
    state = learner.fit(rows)
    order = [rows.ids[i] for i in np.random.default_rng(8).permutation(200)]
    paid, gone = state.spent, set()
    for many in batches:
        now, order = order[:many], order[many:]
        gone |= set(now)
        before = state
        state, guarantee = learner.delete(state, now)
        numbers = guarantee.numbers
        left = rows.without(gone)
        aim = retrained(learner, state, left)
        assert np.abs(state.weights - aim).max() < 1e-8
        assert np.abs(before.weights - aim).max() > 1e-4, "the head before is another one"
        full = np.linalg.norm(Loss.of(state.table, 1e-3, state.noise).gradient(state.weights), axis=1).sum()
        paid += full
        assert numbers["residual"] == pytest.approx(full, rel=1e-9)
        assert numbers["spent"] == pytest.approx(paid, rel=1e-9)
        assert state.table.ids == left.ids
    assert guarantee.kind == "certified"
    assert numbers["c"] == pytest.approx(np.sqrt(2 * np.log(1.5e4)))
    assert numbers["budget"] == pytest.approx(1.0 / numbers["c"])
    assert numbers["n"] == 200 - len(gone)
    assert numbers["spent"] < 1e-6 < numbers["published"]
    assert numbers["draws"] == 1
    for word in ("at most 1 long", "has not seen a head", "known to nobody", "only the newest", "epsilon 1"):
        assert word in guarantee.claim


def test_what_a_deleted_row_said_makes_no_difference() -> None:
    learner, rows = CertifiedRemoval(seed=1), table(80, 4, 2, seed=9)
    gone = list(rows.ids[10:15])
    changed = np.isin(rows.ids, gone)
    other = replace(rows, x=np.where(changed[:, None], -9.0, rows.x), y=np.where(changed, 1 - rows.y, rows.y))
    states = [learner.fit(r) for r in (rows, other)]
    assert np.abs(states[0].weights - states[1].weights).max() > 1e-3
    states = [learner.delete(s, gone)[0] for s in states]
    assert np.abs(states[0].weights - states[1].weights).max() < 1e-8
    np.testing.assert_allclose(*(s.curvature.matrix for s in states), atol=0.5)
    assert all(g not in s.table.ids for s in states for g in gone)


@pytest.mark.parametrize("seed", range(5))
def test_the_published_bound_holds_and_is_far_above_what_is_left(seed: int) -> None:
    learner, rows = CertifiedRemoval(strength=0.02, seed=seed), table(150, 5, 2, seed=seed)
    state = learner.fit(rows)
    left = state.table.without(rows.ids[:3])
    loss = Loss.of(left, learner.strength, state.noise)
    held = loss.curvature(state.weights)
    step = held.solver()(loss.gradient(state.weights))
    after = loss.gradient(state.weights - step)
    bound = bound_of_one_step(loss, step, state.stretch)
    assert state.stretch == pytest.approx(np.linalg.norm(state.table.x, 2))
    assert 10 * np.linalg.norm(after) < bound
    numbers = learner.delete(state, rows.ids[:3])[1].numbers
    assert numbers["published"] == pytest.approx(bound, rel=1e-9)
    assert numbers["published_share"] == numbers["published"] / numbers["budget"]
    assert numbers["residual"] < 1e-3 * bound


def test_a_spent_noise_is_drawn_anew() -> None:
    learner, rows = CertifiedRemoval(sigma=1e-3, tolerance=2e-5, strength=0.05, seed=3), table(120, 4, 2, seed=4)
    state, drawn, noises = learner.fit(rows), [], []
    for i in rows.ids[:60]:
        before = state
        state, guarantee = learner.delete(state, [i])
        assert guarantee.numbers["spent"] <= learner.budget
        drawn.append(state.draws)
        noises.append(state.noise.tobytes())
        if state.draws > before.draws:
            assert state.published == 0
            assert guarantee.numbers["residual"] < logistic.TOLERANCE
    assert drawn[0] == 1 < drawn[-1], "no test of the budget: it was never spent"
    assert len(set(noises)) == drawn[-1]


def test_rows_are_made_short_and_the_class_said_stays() -> None:
    rows = table(60, 4, 3, seed=2)
    learner = CertifiedRemoval(3, seed=0)
    state = learner.fit(replace(rows, x=40 * rows.x))
    assert np.linalg.norm(state.table.x, axis=1).max() <= 1 + 1e-12
    head = learner.release(state)
    assert (head(40 * rows.x) == head(state.table.x)).all()
    assert (head(rows.x) == rows.y).mean() > 0.4


def test_the_noise_is_secret() -> None:
    rows = table(40, 3, 2, seed=2)
    free, told = CertifiedRemoval(), CertifiedRemoval(seed=5)
    assert (free.fit(rows).noise != free.fit(rows).noise).all()
    assert (told.fit(rows).noise == told.fit(rows).noise).all()
    assert repr(told.fit(rows)) == "Certified(n=40, classes=2)"


@pytest.mark.parametrize("ids", [["r1", "r1"], ["unheard of"], [f"r{i}" for i in range(40)]])
def test_what_cannot_be_deleted_is_refused_and_nothing_is_told(ids: list[str]) -> None:
    learner = CertifiedRemoval(seed=0)
    with pytest.raises(InputError) as refused:
        learner.delete(learner.fit(table(40, 3, 2, seed=2)), ids)
    assert not any(i in str(refused.value) for i in ids)


def test_what_has_no_certificate_is_refused() -> None:
    for wrong in ({"epsilon": 2.0}, {"delta": 0.0}, {"sigma": 0.0}, {"strength": 0.0}, {"classes": 1}):
        with pytest.raises(InputError, match="certifiedremoval wants"):
            CertifiedRemoval(**wrong)
    with pytest.raises(InputError, match="set 'classes'"):
        CertifiedRemoval().fit(table(40, 3, 3, seed=2))


def told_apart(ours: np.ndarray, theirs: np.ndarray, delta: float) -> float:
    """A bound from below on epsilon, by the linear test that half of the draws choose and the others take."""
    way = ours[::2].mean(0) - theirs[::2].mean(0)
    return bound_of_scores(ours[1::2] @ way, theirs[1::2] @ way, delta=delta)


def implied(rows: Table, weights: np.ndarray, strength: float) -> np.ndarray:
    """The noise under which these weights are the minimum on the rows: the most that can be read from a head."""
    return -Loss.of(rows, strength, np.zeros_like(weights)).gradient(weights).ravel()


def test_nobody_can_tell_a_deletion_from_retraining_better_than_is_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, gone = table(40, 3, 2, seed=11), [f"r{i}" for i in range(5)]
    options = {"strength": 0.05, "delta": 0.01, "tolerance": 9e-3}
    left = rows.without(gone)
    clean = prepared(left, 2)
    found: dict[str, list[np.ndarray]] = {"deleted": [], "retrained": [], "left alone": [], "unpaid": []}
    left_behind = []
    for draw in range(DRAWS):
        learner = CertifiedRemoval(**options, sigma=0.03, seed=draw)
        state = learner.fit(rows)
        after, guarantee = learner.delete(state, gone)
        left_behind.append(guarantee.numbers["residual"])
        again = CertifiedRemoval(**options, sigma=0.03, seed=draw + DRAWS).fit(left)
        for name, s in (("deleted", after), ("retrained", again), ("left alone", state)):
            found[name].append(implied(clean, s.weights, 0.05))
    noises = {name: np.array(values) for name, values in found.items() if values}
    assert np.median(left_behind) > 0.8 * learner.budget, "what is left must be there to be seen"
    assert told_apart(noises["deleted"], noises["retrained"], 0.01) <= learner.epsilon
    assert told_apart(noises["left alone"], noises["retrained"], 0.01) > learner.epsilon
    monkeypatch.setattr(CertifiedRemoval, "budget", float("inf"))
    for draw in range(DRAWS // 5):  # noise far too small for what is left, and no account of it
        small = CertifiedRemoval(**options, sigma=1e-6, seed=draw)
        found["unpaid"].append(implied(clean, small.delete(small.fit(rows), gone)[0].weights, 0.05))
    quiet = 1e-6 / 0.03 * noises["retrained"][: DRAWS // 5]
    assert told_apart(np.array(found["unpaid"]), quiet, 0.01) > learner.epsilon
