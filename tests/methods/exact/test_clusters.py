"""Clusterings from which rows go without a trace: kept where nothing hangs on the row, done anew where something does."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from statebits import bits_of, requests, table

from unteach.lm.heads import Table
from unteach.methods.exact.heads import lloyd
from unteach.methods.exact.heads.dckmeans import DCKMeans
from unteach.methods.exact.heads.lloyd import Lattice, Points, clustered, finished, kept, points
from unteach.methods.exact.heads.qkmeans import QKMeans
from unteach.schema import InputError

COARSE = QKMeans(k=3, lattice=4.0, balance=0.5, iterations=5)
LEARNERS = [
    COARSE,
    QKMeans(k=3, lattice=1.0, iterations=2, seed=5),
    QKMeans(k=2, lattice=0.001, balance=0.0),
    QKMeans(k=5, lattice=8.0, balance=1.0),
]
TREES = [DCKMeans(k=2, width=4), DCKMeans(k=3, width=2, depth=3, seed=1), DCKMeans(k=4, width=20, iterations=2)]


def blobs(n: int = 60, seed: int = 0, repeats: int = 1) -> Table:
    """Rows about four centres in two dimensions; with repeats, many of them in the same places."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, (n, 2)) * 10 + rng.normal(size=(n, 2)) // (1 / 8) / 8
    return Table(
        tuple(f"row-{i}" for i in rng.permutation(n)), np.repeat(x[::repeats], repeats, 0)[:n], np.zeros(n, int)
    )


@pytest.mark.parametrize("learner", LEARNERS, ids=repr)
def test_clusters_without_rows_are_those_that_never_had_them(learner: QKMeans) -> None:
    retrained = Counter[float]()
    for seed in range(16):
        rows = blobs(6 + 4 * seed, seed, repeats=1 + seed % 3)
        first = learner.fit(rows)
        before, state, out = bits_of(first), first, []
        for batch in requests(rows.ids, seed):
            state, guarantee = learner.delete(state, batch)
            out += batch
            retrained[guarantee.numbers["retrained"]] += 1
            assert bits_of(state) == bits_of(learner.fit(rows.without(out)))
        assert bits_of(learner.release(state)) == bits_of(learner.release(learner.fit(rows.without(out))))
        assert bits_of(first) == before != bits_of(state), "states are left as they were"
    assert retrained[1.0] > 5
    if learner != LEARNERS[2]:
        assert retrained[0.0] > 5, "the shortcut is taken, and is right"


@pytest.mark.parametrize("learner", TREES, ids=repr)
def test_a_tree_without_rows_is_the_one_that_never_had_them(learner: DCKMeans) -> None:
    for seed in range(6):
        rows = blobs(5 + 7 * seed, seed)
        first = learner.fit(rows)
        before, state, out = bits_of(first), first, []
        for batch in requests(rows.ids, seed):
            state, guarantee = learner.delete(state, batch)
            out += batch
            assert guarantee.level == "retrain-equal"
        assert bits_of(state.leaves) == bits_of(learner.fit(rows.without(out)).leaves)
        assert dict(state.nodes) == dict(learner.fit(rows.without(out)).nodes)
        assert bits_of(learner.release(state)) == bits_of(learner.release(learner.fit(rows.without(out))))
        assert bits_of(first) == before


@pytest.mark.parametrize("learner", [*LEARNERS, *TREES], ids=repr)
def test_what_a_deleted_row_held_leaves_no_trace(learner: QKMeans | DCKMeans) -> None:
    rows = blobs()
    for at in range(0, 60, 13):
        x = rows.x.copy()
        x[at] = -17.5
        left = [learner.delete(learner.fit(r), [rows.ids[at]])[0] for r in (rows, replace(rows, x=x))]
        assert bits_of(learner.release(left[0])) == bits_of(learner.release(left[1]))


def test_a_retraining_after_rows_left_quietly_reads_no_ghosts_of_them() -> None:
    rows = blobs(60)
    state, quiet = COARSE.fit(rows), []
    for i in rows.ids:
        after, guarantee = COARSE.delete(state, [i])
        if not guarantee.numbers["retrained"]:
            state, quiet = after, [*quiet, i]
        if len(quiet) == 20:
            break
    seeds = list(state.trace.seeds)[:1]
    state, guarantee = COARSE.delete(state, seeds)
    assert guarantee.numbers["retrained"], "a row that the clustering began at"
    assert int(state.trace.steps[0].counts.sum()) == len(state.rows.ids) == 39
    emptied = (
        rows.x * ~np.isin(rows.ids, quiet)[:, None]
    )  # rows that are zeroed and stay, as a lazy deletion leaves them
    ghosts = COARSE.fit(replace(rows, x=emptied).without(seeds))
    assert int(ghosts.trace.steps[0].counts.sum()) == 59
    assert bits_of(ghosts.trace) != bits_of(state.trace) == bits_of(COARSE.fit(rows.without([*quiet, *seeds])).trace)


def test_a_coarser_lattice_needs_fewer_retrainings_and_is_paid_for_in_loss() -> None:
    rows = blobs(200)
    shares, losses = [], []
    for step in (0.002, 0.2, 5.0):
        learner = QKMeans(k=4, lattice=step)
        state = learner.fit(rows)
        losses.append(state.trace.best.loss)
        told = []
        for i in rows.ids[:30]:
            state, guarantee = learner.delete(state, [i])
            told.append(guarantee.numbers["retrained"])
        shares.append(np.mean(told))
    assert shares[0] > 0.8
    assert shares[2] < 0.25
    assert shares == sorted(shares, reverse=True)
    assert losses[2] > losses[0]


def test_a_clustering_is_kept_as_far_as_it_is_that_of_the_rows_that_are_left() -> None:
    rows = points([f"{n:02}" for n in range(12)], np.array([[0.0], [1], [2], [9], [10], [11]] * 2), 4)
    lattice = Lattice(32, np.array([3]), 0.2)
    trace = clustered(rows, 2, lattice, 6, seed=0)
    whole = len(trace.steps)
    assert whole > 2
    lengths = Counter[int]()
    for i in rows.ids:
        left, standing = rows.without([i]), kept(trace, rows.only([i]), lattice, 6)
        anew = clustered(left, 2, lattice, 6, seed=0)
        if standing is None:
            assert i in trace.seeds
            continue
        lengths[len(standing.steps)] += 1
        assert standing.steps == anew.steps[: len(standing.steps)]
        assert finished(left, standing, lattice, 6) == anew
        sooner = kept(trace, rows.only([i]), lattice, whole - 2)
        assert sooner is not None
        assert len(sooner.steps) < whole, "it would have ended before"
    assert lengths[whole] > 0, "some rows change no centroid"
    assert sum(lengths.values()) > lengths[whole], "some do, on the way"


def test_centroids_stand_on_the_lattice_nearest_to_the_means() -> None:
    state = QKMeans(k=3, lattice=0.75, balance=0.0).fit(blobs())
    for before, after in zip(state.trace.steps, state.trace.steps[1:], strict=False):
        shifts = (after.centroids - after.centroids[0]) % (3 * 2**10)
        assert not shifts.any()
        means = before.sums / before.counts[:, None]
        assert abs(after.centroids - means).max() <= 3 * 2**9
    losses = [step.loss for step in state.trace.steps]
    assert state.trace.best.loss == min(losses)
    assert sorted(losses[:-1], reverse=True) == losses[:-1]


def test_distances_and_losses_are_exact() -> None:
    rows = blobs()
    found = points(rows.ids, rows.x, 12)
    step = clustered(found, 3, Lattice(1, np.zeros(2, np.int64)), 10, 0).best
    apart = ((found.places[:, None].astype(object) - step.centroids.astype(object)) ** 2).sum(2)
    assert step.loss == apart.min(1).sum()
    assert step.counts.tolist() == np.bincount(apart.astype(float).argmin(1), minlength=3).tolist()


def test_beginnings_are_drawn_by_squared_distance_and_keyed_by_row() -> None:
    places = np.array([[0], [1], [3]])
    rows = Points(("a", "b", "c"), places, np.array([1, 1, 1]))
    draws = [lloyd._seeds(rows, 2, seed) for seed in range(2000)]
    firsts = Counter(first for first, _ in draws)
    assert all(abs(firsts[n] / 2000 - 1 / 3) < 0.04 for n in range(3))
    seconds = Counter(second for first, second in draws if first == 0)
    assert abs(seconds[2] / firsts[0] - 9 / 10) < 0.04
    for seed, drawn in enumerate(draws[:200]):
        left = rows.without([rows.ids[n] for n in {0, 1, 2} - set(drawn)])
        assert [left.ids[n] for n in lloyd._seeds(left, 2, seed)] == [rows.ids[n] for n in drawn]


def test_only_one_path_of_the_tree_is_done_anew() -> None:
    learner, rows = DCKMeans(k=3, width=4, depth=2), blobs(200)
    state = learner.fit(rows)
    after, guarantee = learner.delete(state, [rows.ids[0]])
    assert guarantee.numbers["redone"] == 3
    assert guarantee.numbers["nodes"] == 16 + 4 + 1
    assert guarantee.numbers["rows_read"] < 30
    assert sum(after.leaves[leaf] is not state.leaves[leaf] for leaf in state.leaves) == 1
    assert int(after.nodes[2, 0].counts.sum()) == 199, "centroids count as the rows behind them"


@pytest.mark.parametrize("learner", [COARSE, TREES[1]], ids=repr)
def test_clusters_are_found_and_an_empty_store_is_refused(learner: QKMeans | DCKMeans) -> None:
    centres = np.array([[-20.0, 0], [20, 0], [0, 20]])
    rng = np.random.default_rng(0)
    x = np.repeat(centres, 30, 0) + rng.normal(size=(90, 2))
    rows = Table(tuple(f"{i:02}" for i in range(90)), x, np.zeros(90, int))
    fine = replace(learner, lattice=0.5, seed=2) if isinstance(learner, QKMeans) else learner
    clusters = fine.release(fine.fit(rows))
    found = clusters(x).reshape(3, 30)
    assert (found == found[:, :1]).all()
    assert len(set(found[:, 0].tolist())) == 3
    assert abs(clusters.centroids[found[:, 0]] - centres).max() < 1.5
    state, _ = learner.delete(learner.fit(rows), rows.ids)
    assert bits_of(state) == bits_of(learner.fit(rows.only([])))
    with pytest.raises(InputError, match="no row left to cluster"):
        learner.release(state)
    with pytest.raises(InputError, match="1 of the ids to delete are not held"):
        learner.delete(learner.fit(rows), ["91"])
    with pytest.raises(InputError, match="units of the grid or more from 0"):
        learner.fit(replace(rows, x=rows.x * 1e6))
    assert rows.ids[5] not in repr(learner.fit(rows))


def test_floats_would_let_the_neighbours_of_a_row_show() -> None:
    x = table(n=50, d=7).x
    sums = [x.sum(0) - x[n] != np.delete(x, n, 0).sum(0) for n in range(50)]
    assert np.mean(sums) > 0.1, "which is why sums, distances and losses are whole numbers"
