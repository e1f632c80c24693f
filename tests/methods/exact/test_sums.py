"""Sums on a grid lose and gain rows to the last bit, at every magnitude; the heads made of them do so too."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import lstsq
from statebits import bits_of, requests, table

from unteach.lm.heads import Head, Table
from unteach.methods.exact.heads import sums
from unteach.methods.exact.heads.naivebayes import NaiveBayes
from unteach.methods.exact.heads.ridge import Ridge
from unteach.methods.exact.heads.sums import ExactSum, products, squares, total
from unteach.schema import InputError

HEADS = [NaiveBayes(), NaiveBayes("gaussian"), Ridge()]


def wholes(held: ExactSum) -> list[int]:
    """The sum in units of its grid, in Python's own numbers."""
    pairs = zip(held.high.ravel().tolist(), held.low.ravel().tolist(), strict=True)
    return [(high << 32) + low for high, low in pairs]


def fitting(head: NaiveBayes | Ridge, rows: Table) -> Table:
    """The rows as the head wants them."""
    return replace(rows, x=abs(rows.x)) if head == NaiveBayes() else rows


def test_a_sum_is_that_of_whole_numbers_beyond_64_bits() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (500, 3)) * 2.0**37
    found = wholes(total(x, 24))
    assert found == [sum(int(np.rint(v * 2.0**24)) for v in column) for column in x.T]
    assert max(abs(v) for v in found) > 2**63
    np.testing.assert_allclose(total(x, 24).value(), x.sum(0), rtol=1e-14)


def test_products_are_those_of_whole_numbers_up_to_the_edge_of_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x, y = (rng.integers(-(2**31) + 1, 2**31, (50, d)).astype(float) for d in (4, 3))
    x[0] = y[0] = 2**31 - 1
    x[1], y[1] = 2**31 - 1, -(2**31) + 1
    exact = x.astype(int).astype(object).T @ y.astype(int).astype(object)
    assert wholes(products(x, y, 0)) == exact.ravel().tolist()
    assert wholes(squares(x, 0)) == (x.astype(int).astype(object) ** 2).sum(0).tolist()
    whole = products(x, y, 0)
    monkeypatch.setattr(sums, "ROWS", 7)
    assert products(x, y, 0) == whole, "blocks do not show"


def test_rows_come_and_go_in_any_order_where_floats_do_not() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 20)) * 10.0 ** rng.integers(-4, 4, (200, 20))
    kept, gone = x[50:], x[:50]
    assert total(x, 20).take(total(gone, 20)) == total(kept, 20)
    assert total(gone, 20).add(total(kept, 20)) == total(x[rng.permutation(200)], 20)
    assert products(x, x, 12).take(products(gone, gone, 12)) == products(kept, kept, 12)
    assert (x.sum(0) - gone.sum(0) != kept.sum(0)).any(), "floats keep a trace of what was there"
    assert (x.T @ x - gone.T @ gone != kept.T @ kept).any()


def test_what_would_overflow_or_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="which reaches to 32768; scale the features, or lower 'bits'"):
        products(np.full((1, 1), 32768.0), np.ones((1, 1)), 16)
    with pytest.raises(InputError, match="beyond the grid"):
        total(np.array([[np.inf]]), 0)
    with pytest.raises(InputError, match="different grids or shapes"):
        total(np.ones((1, 1)), 1).add(total(np.ones((1, 1)), 2))
    with pytest.raises(InputError, match="2 rows cannot be taken out of a sum of 1"):
        total(np.ones((1, 1)), 1).take(total(np.ones((2, 1)), 1))
    assert repr(total(np.full((2, 1), 77.0), 1)) == "ExactSum(n=2, shape=(1,), bits=1)"


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_a_head_of_sums_without_rows_is_the_one_that_never_had_them(head: NaiveBayes | Ridge) -> None:
    for seed in range(25):
        rows = fitting(head, table(seed=seed, n=12 + seed))
        first = head.fit(rows)
        before = bits_of(first)
        state, out = first, []
        for batch in requests(rows.ids, seed):
            state, guarantee = head.delete(state, batch)
            assert (guarantee.kind, guarantee.level) == ("exact", "retrain-equal")
            out += batch
        anew = head.fit(rows.without(out))
        assert bits_of(state) == bits_of(anew)
        assert bits_of(head.release(state)) == bits_of(head.release(anew))
        assert bits_of(first) == before != bits_of(state), "states are left as they were"


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_what_a_deleted_row_held_leaves_no_trace(head: NaiveBayes | Ridge) -> None:
    rows = fitting(head, table())
    x, y = rows.x.copy(), rows.y.copy()
    x[3], y[3] = 999.25, 2
    other = Table(rows.ids, x, y)
    left, without_canary = (head.delete(head.fit(r), [rows.ids[3]])[0] for r in (rows, other))
    assert bits_of(head.release(head.fit(rows))) != bits_of(head.release(head.fit(other)))
    assert bits_of(left) == bits_of(without_canary)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_classes_go_with_their_last_row_and_nothing_is_left_of_nothing(head: NaiveBayes | Ridge) -> None:
    rows = fitting(head, table(classes=4))
    state, _ = head.delete(head.fit(rows), [i for i, c in zip(rows.ids, rows.y, strict=True) if c in (1, 3)])
    released = head.release(state)
    assert len(released.bias) == 3, "class 3 was the last one, class 1 leaves a gap"
    assert set(released(rows.x).tolist()) == {0, 2}
    state, _ = head.delete(state, list(state.table.ids))
    assert bits_of(state) == bits_of(head.fit(rows.only([])))
    with pytest.raises(InputError, match="no row left"):
        head.release(state)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_requests_that_cannot_be_met_are_refused_by_number_alone(head: NaiveBayes | Ridge) -> None:
    rows = fitting(head, table())
    state = head.fit(rows)
    with pytest.raises(InputError, match=r"^1 of the ids to delete are not held") as refused:
        head.delete(state, ["row-1", "nobody"])
    assert "nobody" not in str(refused.value)
    with pytest.raises(InputError, match=r"^1 of the ids to delete are named twice"):
        head.delete(state, ["row-1", "row-1"])
    with pytest.raises(InputError, match="are already out"):
        head.delete(head.delete(state, ["row-1"])[0], ["row-1"])
    assert "row-1" not in repr(state)
    assert str(rows.x[0, 0])[:5] not in repr(state)


def test_multinomial_naive_bayes_is_its_formula_and_wants_counts() -> None:
    rows = Table(("a", "b", "c"), np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 3]]), np.array([0, 0, 1]))
    head = NaiveBayes().release(NaiveBayes().fit(rows))
    np.testing.assert_allclose(head.weights, np.log([[3 / 7, 3 / 7, 1 / 7], [1 / 6, 1 / 6, 4 / 6]]), rtol=1e-15)
    np.testing.assert_allclose(head.bias, np.log([2 / 3, 1 / 3]), rtol=1e-15)
    with pytest.raises(InputError, match="set features to gaussian"):
        NaiveBayes().fit(table())


def test_gaussian_naive_bayes_is_bayes_rule_with_one_variance_a_feature() -> None:
    rows = table(n=200)
    rows = replace(rows, x=rows.x / rows.x.std(0) + np.random.default_rng(4).normal(size=rows.x.shape))
    found = NaiveBayes("gaussian").release(NaiveBayes("gaussian").fit(rows)).scores(rows.x)
    means = np.stack([rows.x[rows.y == c].mean(0) for c in range(3)])
    spread = ((rows.x - means[rows.y]) ** 2).mean(0)
    priors = np.log(np.bincount(rows.y) / 200)
    logs = priors - ((rows.x[:, None] - means) ** 2 / (2 * spread)).sum(2)
    np.testing.assert_allclose(found - found[:, :1], logs - logs[:, :1], atol=1e-3)
    assert (found.argmax(1) == rows.y).mean() > 0.5


def test_ridge_is_the_least_squares_solution() -> None:
    rows = table(n=60)
    head = Ridge(penalty=0.5, bits=20).release(Ridge(penalty=0.5, bits=20).fit(rows))
    wide = np.vstack([np.c_[rows.x, np.ones(60)], np.sqrt(0.5) * np.eye(6)[:5]])
    solved = lstsq(wide, np.vstack([np.eye(3)[rows.y], np.zeros((5, 3))]))[0]
    np.testing.assert_allclose(np.c_[head.weights, head.bias], solved.T, atol=1e-5)
    assert isinstance(head, Head)
    assert (head(rows.x) == rows.y).mean() > 0.8
