"""Heads of shards, and fair decisions from their votes: deleted rows leave no trace in either."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from statebits import bits_of, requests, table

from unteach.lm.heads import Table
from unteach.methods.exact.heads.logistic import prepared
from unteach.methods.exact.shards.fairsisa import Calibrated, FairSISA, Grouped, counted, equalised
from unteach.methods.exact.shards.sisafc import SISAFC
from unteach.schema import InputError


def changed(rows: Table, gone: Sequence[str]) -> Table:
    """The rows, where those of these ids hold other numbers and another class."""
    mine = np.isin(rows.ids, gone)
    return Table(rows.ids, np.where(mine[:, None], 7.0, rows.x), np.where(mine, 1 - np.minimum(rows.y, 1), rows.y))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_head_that_lost_rows_is_the_one_that_never_had_them(classes: int) -> None:
    for seed in range(10):
        rows, learner = table(30, classes=classes, seed=seed), SISAFC(shards=3, classes=classes, strength=0.01)
        batches = requests(rows.ids, seed)
        gone = [i for ids in batches for i in ids]
        clean = learner.fit(rows.without(gone))
        for start, parts in ((rows, batches), (rows, [gone[::-1]]), (changed(rows, gone), batches)):
            state = learner.fit(start)
            for ids in parts:
                before, touched = state, {learner.shard(i) for i in ids}
                state, guarantee = learner.delete(state, ids)
                assert guarantee.level == "retrain-equal"
                assert all(state.weights[s] is before.weights[s] for s in state.weights.keys() - touched)
            assert bits_of(state) == bits_of(clean)
            assert bits_of(learner.release(state)) == bits_of(learner.release(clean))
        assert bits_of(learner.fit(rows).weights) != bits_of(clean.weights)


def test_each_head_is_the_minimum_on_its_shard_and_they_speak_as_a_mean() -> None:
    rows, learner = table(60, d=3, classes=2), SISAFC(shards=2, strength=0.01)
    state = learner.fit(rows)
    for shard, weights in state.weights.items():
        part = prepared(rows.only([i for i in rows.ids if learner.shard(i) == shard]), 2)
        sign = 2 * part.y - 1.0
        found = minimize(
            lambda w, x=part.x, s=sign: np.logaddexp(0, -s * (x @ w)).sum() + 0.005 * len(x) * w @ w,
            np.zeros(3), method="BFGS", options={"gtol": 1e-7},
        )  # fmt: skip
        assert np.allclose(weights[0], found.x, atol=1e-5)
    heads = learner.release(state)
    said = heads.probabilities(rows.x)
    assert np.allclose(said.sum(1), 1)
    assert np.allclose(said, sum(replace(heads, weights=(w,)).probabilities(rows.x) for w in heads.weights) / 2)
    assert (heads(rows.x) == rows.y).mean() > 0.7
    assert (heads.votes(rows.x).sum(1) == 2).all()
    for ids, why in ((["nobody"], "not held"), ([rows.ids[0]] * 2, "named twice")):
        with pytest.raises(InputError, match=why):
            learner.delete(state, ids)
    with pytest.raises(InputError, match="no shard has a row left"):
        learner.release(learner.delete(state, rows.ids)[0])


def unfair(n: int, seed: int) -> Grouped:
    """Two groups of rows; of the second the features tell little, and its class is mostly 0."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    y = (rng.random(n) < np.where(group, 0.25, 0.6)).astype(int)
    x = rng.normal(size=(n, 4)) + np.outer(2 * y - 1, [1, 0.5, 0, 0]) * np.where(group, 0.4, 1.5)[:, None]
    ids = tuple(f"row-{i}" for i in range(n))
    return Grouped(Table(ids, np.c_[x, group], y), dict(zip(ids, map(int, group), strict=True)))


def odds(state: Calibrated, learner: FairSISA) -> np.ndarray:
    """The frequency of the decision 1 among calibration rows, by group and class."""
    rows = state.calibration
    chance = learner.release(state).probabilities(rows)
    group = np.array([rows.groups[i] for i in rows.table.ids])
    return np.array([[chance[(group == a) & (rows.table.y == y)].mean() for y in (0, 1)] for a in (0, 1)])


def test_decisions_err_equally_often_in_every_group() -> None:
    learner, data = FairSISA(shards=5, share=0.5), unfair(600, 0)
    state = learner.fit(data)
    found = odds(state, learner)
    assert np.allclose(found[0], found[1], atol=1e-9)
    assert found[0, 1] > found[0, 0] + 0.1  # and they tell the classes apart
    counts = counts_of(state, learner)
    majority = np.broadcast_to(np.arange(6) > 2, (2, 6)).astype(float)
    assert np.ptp(rates(counts, majority), axis=0).max() > 0.15
    drawn = np.mean([learner.release(state)(state.calibration, seed) for seed in range(300)], axis=0)
    assert abs(drawn - learner.release(state).probabilities(state.calibration)).max() < 0.15
    strange = Grouped(data.table, dict.fromkeys(data.groups, 2))
    with pytest.raises(InputError, match="a group that no row"):
        learner.release(state).probabilities(strange)


def counts_of(state: Calibrated, learner: FairSISA) -> np.ndarray:
    rows = state.calibration
    votes = learner.release(state).heads.votes(rows.table.x)[:, 1].astype(int)
    return counted(votes, np.array([rows.groups[i] for i in rows.table.ids]), rows.table.y, 5)


def rates(counts: np.ndarray, chances: np.ndarray) -> np.ndarray:
    return (counts * chances[:, :, None]).sum(1) / counts.sum(1)


def errors(counts: np.ndarray, chances: np.ndarray) -> float:
    return float((counts[:, :, 0] * chances + counts[:, :, 1] * (1 - chances)).sum())


def test_no_fair_decisions_err_less() -> None:
    counts = np.array([[[8, 1], [4, 4], [1, 9]], [[5, 2], [3, 3], [2, 4]]])
    best = equalised(counts)
    assert np.ptp(rates(counts, best), axis=0).max() < 1e-9
    step = np.linspace(0, 1, 26)
    grid = np.stack(np.meshgrid(*[step] * 4), -1).reshape(-1, 4)  # for four chances; fairness gives the other two
    wanted = grid[:, :3] @ (counts[0] / counts[0].sum(0))
    share = counts[1] / counts[1].sum(0)
    solved = np.linalg.solve(share[:2].T, (wanted - grid[:, 3:] * share[2]).T).T
    fair = np.c_[grid[:, :3], solved, grid[:, 3]][((solved >= 0) & (solved <= 1)).all(1)].reshape(-1, 2, 3)
    assert np.ptp(rates(counts, fair[0]), axis=0).max() < 1e-9
    fewest = ((counts[:, :, 0] - counts[:, :, 1]) * fair).sum((1, 2)).min() + counts[:, :, 1].sum()
    assert errors(counts, best) <= fewest + 1e-9
    assert errors(counts, best) > fewest - 0.5  # the grid comes near


def test_what_is_undefined_is_left_open() -> None:
    lone = np.zeros((2, 4, 2), int)
    assert (equalised(lone) == [0, 0, 1, 1]).all()
    lone[0, 0, 0], lone[0, 3, 1], lone[1, 1, 0] = 5, 5, 5  # the second group has no row of class 1
    found = equalised(lone)
    assert found[0, 0] == found[1, 1] == 0
    assert found[0, 3] == 1
    assert found[1, 3] == 1  # never seen: the majority


def test_calibration_rows_are_deleted_like_others() -> None:
    learner = FairSISA(shards=3, share=0.4)
    for seed in range(8):
        data = unfair(60, seed)
        batches = requests(data.table.ids, seed)
        gone = [i for ids in batches for i in ids]
        left = [i for i in data.table.ids if i not in gone]
        clean = learner.fit(data.kept(left))
        for start in (data.table, changed(data.table, gone)):
            state = learner.fit(replace(data, table=start))
            for ids in batches:
                state, guarantee = learner.delete(state, ids)
                assert (guarantee.kind, guarantee.level) == ("exact", "retrain-equal")
            assert bits_of(state) == bits_of(clean)
    held = [i for i in data.table.ids if learner.holds_back(i)]
    assert 0 < len(held) < len(data.table.ids)
    alone, _ = learner.delete(learner.fit(data), held)
    assert not len(alone.chances)
    with pytest.raises(InputError, match="not held"):
        learner.delete(learner.fit(data), ["nobody"])
    with pytest.raises(InputError, match="give each row a group"):
        Grouped(data.table, {})
