"""A course of noisy descent from which a row is taken out by coupling is, in distribution, one without the row."""

import numpy as np
import pytest
from scipy.stats import chisquare, ks_2samp, kstest, norm

from unteach.lm.heads import Table
from unteach.methods.exact.heads.tvstability import Course, TvStability, coupled
from unteach.schema import InputError

DRAWS = 600
LEARNER = {"steps": 4, "batch": 3, "rate": 2.0, "sigma": 0.3, "strength": 0.1}
WAYS = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8]])


def table(n: int) -> Table:
    """Rows of which the first pulls the other way."""
    dice = np.random.default_rng(1)
    x = np.array([1.0, 0.2]) + 0.3 * dice.standard_normal((n, 2))
    return Table(tuple(f"r{i}" for i in range(n)), x, np.array([0] + [1] * (n - 1)))


def apart(a: list[Course], b: list[Course]) -> float:
    """The least probability, over several numbers of a course, that both samples come from one distribution."""
    ends = [np.array([s.course[-1, 0] for s in x]) @ WAYS.T for x in (a, b)]
    turns = [np.array([(s.course[1, 0] * s.course[-1, 0]).sum() for s in x]) for x in (a, b)]
    steps = [np.array([np.linalg.norm(s.course[3, 0] - s.course[2, 0]) for s in x]) for x in (a, b)]
    columns = [*zip(*(e.T for e in ends), strict=True), tuple(turns), tuple(steps)]
    return float(min(ks_2samp(*pair).pvalue for pair in columns))


def test_a_coupled_course_is_in_distribution_that_of_a_training_without_the_row() -> None:
    rows = table(7)
    before, after, retrained, redone, expected = [], [], [], [], 0.0
    for draw in range(DRAWS):
        learner = TvStability(**LEARNER, seed=draw)
        before.append(learner.fit(rows))
        state, guarantee = learner.delete(before[-1], ["r0"])
        after.append(state)
        retrained.append(TvStability(**LEARNER, seed=draw + DRAWS).fit(rows.without(["r0"])))
        redone.append(guarantee.numbers["redone"])
        expected = guarantee.numbers["expected"]
    assert apart(after, retrained) > 1e-3
    assert apart(before, retrained) < 1e-6, "the course as it was is another, and the test sees it"
    times = np.bincount(np.concatenate([s.batches.ravel() for s in after]), minlength=6)
    assert len(times) == 6
    assert chisquare(times).pvalue > 1e-3
    assert all(len(set(b)) == 3 for s in after for b in s.batches)
    assert 0.1 < np.mean(redone) <= expected + 3 * np.std(redone) / np.sqrt(DRAWS)
    assert sum(r == 0 for r in redone) > DRAWS / 10, "some courses are kept whole"
    assert (guarantee.kind, guarantee.level) == ("empirical", "equal in distribution")


def test_a_coupled_draw_has_the_new_mean_and_is_kept_as_often_as_can_be() -> None:
    dice = np.random.default_rng(3)
    before, after, sigma = np.array([[0.3, -0.2]]), np.array([[0.9, 0.4]]), 0.5
    made = [coupled(before + sigma * dice.standard_normal((1, 2)), before, after, sigma, dice) for _ in range(2000)]
    drawn = np.array([w[0] for _, w in made])
    for j in (0, 1):
        assert kstest(drawn[:, j], "norm", (after[0, j], sigma)).pvalue > 1e-3
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.08
    far = np.linalg.norm(after - before)
    kept = np.mean([k for k, _ in made])
    assert kept == pytest.approx(2 * norm.cdf(-far / (2 * sigma)), abs=0.04)


def test_several_rows_go_one_after_another_and_the_given_state_stays() -> None:
    rows, learner = table(30), TvStability(3, steps=20, batch=4, seed=1)
    state = learner.fit(rows)
    left, guarantee = learner.delete(state, ["r0", "r5", "r9"])
    assert (len(state.table.ids), len(left.table.ids), guarantee.numbers["n"]) == (30, 27, 27.0)
    assert left.batches.max() < 27
    assert learner.release(left).weights.shape == (3, 2)
    again = learner.delete(learner.fit(rows), ["r9", "r0", "r5"])[0]
    assert (again.course == left.course).all()
    assert repr(left) == "Course(n=27, steps=20)"


def test_the_less_a_row_weighs_against_the_noise_the_less_is_redone() -> None:
    rows = table(60)
    shares = {}
    for sigma in (0.01, 1.0):
        learner = TvStability(steps=30, batch=10, sigma=sigma, seed=2)
        state, numbers = learner.fit(rows), []
        for i in rows.ids[:15]:
            numbers.append(learner.delete(state, [i])[1].numbers)
        shares[sigma] = np.mean([n["redone"] for n in numbers])
        assert shares[sigma] <= numbers[0]["expected"] + 0.5 * (sigma < 0.1)
    assert shares[1.0] < shares[0.01]


def test_a_batch_that_no_rows_are_left_for_is_refused() -> None:
    learner = TvStability(batch=5, steps=3)
    with pytest.raises(InputError, match="'batch' of 5 wants more rows than 5"):
        learner.fit(table(5))
    state = learner.fit(table(6))
    with pytest.raises(InputError, match="would be left"):
        learner.delete(state, ["r1"])
    with pytest.raises(InputError, match="named twice"):
        learner.delete(state, ["r1", "r1"])
    with pytest.raises(InputError, match="tvstability wants"):
        TvStability(sigma=0.0)
