"""The fast statistics against slow, obvious ones, scipy, and simulation."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import tensor
from torchmetrics.functional.classification import binary_auroc

from unteach.audit.statistics import (
    auc,
    auc_gap_interval,
    auc_interval,
    bootstrap_mean,
    harmonic,
    ks,
    resampled_means,
    tpr_at,
    wilson,
)

SOME = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=25)  # small whole numbers: many ties


@given(SOME, SOME)
def test_auc_counts_every_pair_and_half_of_the_ties(first: list[float], second: list[float]) -> None:
    slow = np.mean([(x < y) + (x == y) / 2 for x in first for y in second])
    assert auc(first, second) == pytest.approx(slow, abs=1e-12)
    assert auc(second, first) == pytest.approx(1 - slow, abs=1e-12)
    u = stats.mannwhitneyu(second, first).statistic
    assert auc(first, second) == pytest.approx(u / len(first) / len(second), abs=1e-12)


@given(SOME, SOME)
def test_auc_is_that_of_scikit_learn_and_torchmetrics(first: list[float], second: list[float]) -> None:
    values, member = [*first, *second], [1] * len(first) + [0] * len(second)
    assert auc(first, second) == pytest.approx(roc_auc_score(member, [-x for x in values]), abs=1e-12)
    theirs = binary_auroc(tensor([(4 - x) / 8 for x in values]), tensor(member))  # which wants them between 0 and 1
    assert auc(first, second) == pytest.approx(float(theirs), abs=1e-6)


def test_auc_takes_infinite_losses_as_they_come() -> None:
    assert auc([0.0, 1.0], [np.inf, np.inf]) == 1.0
    assert auc([np.inf], [np.inf]) == 0.5


@pytest.mark.parametrize("true", [0.5, 0.75, 0.95])
def test_the_interval_of_an_auc_covers_it_as_often_as_it_says(true: float) -> None:
    draw, shift, n = np.random.default_rng(7), stats.norm.ppf(true) * 2**0.5, 30
    ends = [auc_interval(auc(draw.normal(0, 1, n), draw.normal(shift, 1, n)), n, n) for _ in range(500)]
    covered = np.mean([low <= true <= high for low, high in ends])
    assert 0.93 <= covered <= 0.99


@pytest.mark.parametrize(("n", "m"), [(100, 100), (400, 150)])
def test_the_interval_of_an_auc_is_delongs_in_the_middle_and_keeps_a_width_at_the_end(n: int, m: int) -> None:
    draw = np.random.default_rng(1)
    x, y = draw.normal(0, 1, n), draw.normal(0.5, 1, m)
    low, high = auc_interval(auc(x, y), n, m)
    wins = (x[:, None] < y) + (x[:, None] == y) / 2
    delong = (wins.mean(1).var(ddof=1) / n + wins.mean(0).var(ddof=1) / m) ** 0.5
    assert (high - low) / (2 * 1.96 * delong) == pytest.approx(1, abs=0.12)
    low, high = auc_interval(1.0, 40, 40)
    assert high == 1.0
    assert 0.93 < low < 0.97


def test_the_gap_of_two_aucs_on_the_same_rows_has_no_width_where_they_agree() -> None:
    draw = np.random.default_rng(2)
    a, b = draw.normal(0, 1, 30), draw.normal(0.3, 1, 25)
    assert auc_gap_interval((a, b), (a, b)) == (0.0, 0.0)
    low, high = auc_gap_interval((a - 3, b), (a, b))
    assert 0 < low < auc(a - 3, b) - auc(a, b) < high
    assert auc_gap_interval((a[:1], b), (a[:1], b)) is None


@given(SOME, SOME, st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.0]))
def test_tpr_at_flags_no_more_others_than_allowed(members: list[float], others: list[float], fpr: float) -> None:
    best = 0.0
    for bar in [*members, *others, np.inf]:
        for flag in (np.less, np.less_equal):
            if flag(others, bar).mean() <= fpr + 1e-12:
                best = max(best, float(flag(members, bar).mean()))
    assert tpr_at(members, others, fpr) == pytest.approx(best)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=40), st.lists(st.floats(-5, 5), min_size=2, max_size=40))
@settings(max_examples=40)
def test_ks_is_the_largest_gap_of_the_distribution_functions(first: list[float], second: list[float]) -> None:
    at = np.concatenate([first, second])
    gap = max(abs(np.mean(np.array(first) <= x) - np.mean(np.array(second) <= x)) for x in at)
    found = ks(first, second)
    assert found.d == pytest.approx(gap)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert found.p == pytest.approx(stats.ks_2samp(first, second).pvalue)
    assert (found.n, found.m) == (len(first), len(second))


def test_how_large_d_must_be_depends_on_the_number_of_rows() -> None:
    for n, least in ((40, 0.30), (200, 0.14), (400, 0.0975)):
        shifted = np.arange(n) + least * n
        found = ks(np.arange(n), shifted)
        assert found.p < 0.06
        assert found.d == pytest.approx(least, abs=1 / n)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
@settings(max_examples=40)
def test_the_interval_of_a_mean_depends_on_the_values_alone(values: list[float]) -> None:
    low, high = bootstrap_mean(values)
    assert (low, high) == bootstrap_mean(values) == bootstrap_mean(values[::-1])
    assert min(values) - 1e-12 <= low <= np.sort(values).mean() <= high <= max(values) + 1e-12


def test_one_value_has_no_interval() -> None:
    assert bootstrap_mean([0.3]) is None
    assert bootstrap_mean([]) is None


@pytest.mark.parametrize(("n", "least", "most"), [(5, 0.75, 0.92), (10, 0.86, 0.96), (40, 0.91, 0.98)])
def test_the_interval_of_a_mean_covers_less_the_fewer_the_values(n: int, least: float, most: float) -> None:
    draw = np.random.default_rng(0)
    ends = [bootstrap_mean(draw.beta(0.5, 1.0, n)) for _ in range(300)]
    assert least <= np.mean([low <= 1 / 3 <= high for low, high in ends]) <= most


def test_the_interval_of_a_mean_is_the_normal_one_for_many_values() -> None:
    values = np.random.default_rng(3).normal(2, 1, 3000)
    low, high = bootstrap_mean(values)
    half = 1.96 * values.std(ddof=1) / len(values) ** 0.5
    assert (low, high) == (
        pytest.approx(values.mean() - half, abs=half / 8),
        pytest.approx(values.mean() + half, abs=half / 8),
    )


def test_columns_are_resampled_together_and_streams_apart() -> None:
    one = np.random.default_rng(4).normal(size=(30, 1))
    both = resampled_means(np.hstack([one, 2 * one]))
    assert np.allclose(both[:, 1], 2 * both[:, 0])
    other = resampled_means(one, stream=1)[:, 0]
    assert abs(np.corrcoef(both[:, 0], other)[0, 1]) < 0.1


@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_holds_the_shares_that_the_count_does_not_contradict(successes: int, more: int) -> None:
    n = max(successes, more)
    ours = wilson(successes, n)
    theirs = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert ours == (pytest.approx(theirs.low, abs=1e-9), pytest.approx(theirs.high, abs=1e-9))


def test_wilson_of_nothing_is_nothing() -> None:
    assert wilson(0, 0) is None


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12))
def test_the_harmonic_mean_is_scipys(values: list[float]) -> None:
    assert harmonic(values) == pytest.approx(stats.hmean(values))


def test_one_small_term_decides_a_harmonic_mean() -> None:
    assert harmonic([0.6] * 8 + [0.001]) == pytest.approx(0.0089, abs=1e-4)
    assert harmonic([0.5, 0.0]) == 0.0
    assert harmonic([]) is None
    assert harmonic([0.5, -0.1]) is None
