"""Lower bounds on epsilon against mechanisms whose epsilon is known."""

from dataclasses import dataclass
from math import exp, inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from unteach.audit.epsilon import (
    best_cut,
    bound_of_guesses,
    bound_of_rates,
    bound_of_scores,
    guesses,
)

SIGNIFICANCE = 0.05
RUNS = 2000
ALLOWED = int(stats.binom.ppf(0.9999, RUNS, SIGNIFICANCE))  # bounds that may exceed the truth: one in 10,000 has more


@dataclass(frozen=True)
class Mechanism:
    """Its epsilon at a delta, and how often the best attack says yes in either world."""

    name: str
    epsilon: float
    delta: float
    found: float
    alarms: float


def of_rates(name: str, found: float, alarms: float, delta: float = 0.0) -> Mechanism:
    """Two outcomes: the rates are the whole mechanism."""
    pairs = ((found, alarms), (1 - alarms, 1 - found), (alarms, found), (1 - found, 1 - alarms))
    epsilon = max([log((a - delta) / b) for a, b in pairs if a > delta], default=0.0)
    return Mechanism(name, max(0.0, epsilon), delta, found, alarms)


def randomised_response(epsilon: float, delta: float = 0.0) -> Mechanism:
    """The truth with odds e^epsilon, and with probability delta a certificate of it."""
    p = 1 / (1 + exp(-epsilon))
    return Mechanism(f"response {epsilon} {delta}", epsilon, delta, delta + (1 - delta) * p, (1 - delta) * (1 - p))


def laplace(epsilon: float) -> Mechanism:
    return Mechanism(f"laplace {epsilon}", epsilon, 0.0, 0.5, exp(-epsilon) / 2)


def gaussian_delta(epsilon: float, sigma: float) -> float:
    """Balle and Wang 2018, arXiv:1805.06530, theorem 8, sensitivity 1."""
    cut = epsilon * sigma
    return float(stats.norm.cdf(1 / (2 * sigma) - cut) - exp(epsilon) * stats.norm.cdf(-1 / (2 * sigma) - cut))


def gaussian(sigma: float, delta: float) -> Mechanism:
    epsilon = brentq(lambda e: gaussian_delta(e, sigma) - delta, 0, 50)
    cut = 0.5 + sigma**2 * epsilon
    found, alarms = (float(stats.norm.sf((cut - mean) / sigma)) for mean in (1, 0))
    return Mechanism(f"gaussian {sigma} {delta}", epsilon, delta, found, alarms)


def geometric(epsilon: float) -> Mechanism:
    a = exp(-epsilon)
    return Mechanism(f"geometric {epsilon}", epsilon, 0.0, 1 / (1 + a), a / (1 + a))


def many_answers(epsilon: float, k: int) -> Mechanism:
    """Randomised response over k answers."""
    whole = exp(epsilon) + k - 1
    return Mechanism(f"{k} answers {epsilon}", epsilon, 0.0, exp(epsilon) / whole, 1 / whole)


def subsampled(epsilon: float, share: float) -> Mechanism:
    """The row is used with a probability only."""
    p = 1 / (1 + exp(-epsilon))
    return of_rates(f"subsampled {epsilon} {share}", share * p + (1 - share) * (1 - p), 1 - p)


MECHANISMS = (
    *(randomised_response(e) for e in (0.1, 0.5, 1, 2, 3, 4)),
    *(randomised_response(e, d) for e, d in ((0.5, 0.01), (1, 0.05), (2, 0.1))),
    *(laplace(e) for e in (0.25, 0.5, 1, 2, 3)),
    *(gaussian(s, d) for s in (0.5, 1, 2) for d in (0.01, 0.1)),
    *(geometric(e) for e in (0.5, 1, 2)),
    *(of_rates(f"coins {p} {q}", p, q) for p, q in ((0.6, 0.3), (0.9, 0.5), (0.2, 0.05), (0.99, 0.9))),
    *(of_rates(f"coins {p} {q} 0.1", p, q, 0.1) for p, q in ((0.6, 0.3), (0.95, 0.5))),
    *(many_answers(e, k) for e, k in ((1, 4), (3, 10))),
    *(subsampled(e, s) for e, s in ((1, 0.5), (3, 0.1))),
    of_rates("nothing", 0.5, 0.5),
    of_rates("nothing, seldom", 0.03, 0.03),
    Mechanism("a shift of a uniform value", 0.0, 0.2, 0.2, 0.0),
)


def bounds(m: Mechanism, n: int, runs: int) -> np.ndarray:
    draw = np.random.default_rng([MECHANISMS.index(m), n])
    counts = draw.binomial(n, m.found, runs), draw.binomial(n, m.alarms, runs)
    return bound_of_rates(counts[0], n, counts[1], n, delta=m.delta, significance=SIGNIFICANCE)


def test_there_are_mechanisms_enough() -> None:
    assert len({m.name for m in MECHANISMS}) == len(MECHANISMS) >= 30
    for m in MECHANISMS:  # the attack is the best one: it attains epsilon
        if m.alarms:
            sides = ((m.found - m.delta) / m.alarms, (1 - m.alarms - m.delta) / (1 - m.found))
            assert max(0.0, *(log(s) for s in sides if s > 0)) == pytest.approx(m.epsilon, abs=1e-9)


@pytest.mark.parametrize("m", MECHANISMS, ids=lambda m: m.name)
@pytest.mark.parametrize("n", [10, 60, 1000])
def test_the_bound_exceeds_the_truth_no_more_often_than_its_significance(m: Mechanism, n: int) -> None:
    assert (bounds(m, n, RUNS) > m.epsilon + 1e-12).sum() <= ALLOWED


def test_a_bound_without_confidence_would_exceed_it() -> None:
    """The rates as they are counted, which the bounds must not be."""
    m, draw, n = randomised_response(1), np.random.default_rng(0), 1000
    found, alarms = draw.binomial(n, m.found, RUNS), draw.binomial(n, m.alarms, RUNS)
    assert (np.log(found / alarms) > m.epsilon).sum() > 5 * ALLOWED


@pytest.mark.parametrize("m", MECHANISMS, ids=lambda m: m.name)
def test_with_many_trials_of_the_best_attack_the_bound_is_near_the_truth(m: Mechanism) -> None:
    found = bounds(m, 1_000_000, 25)
    assert np.median(found) == pytest.approx(m.epsilon, rel=0.2, abs=0.01)


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 40), st.integers(1, 40), st.floats(0.001, 0.3))
@settings(max_examples=40, deadline=None)
def test_the_rates_are_clopper_and_pearsons(a: int, n: int, b: int, m: int, significance: float) -> None:
    a, b = min(a, n), min(b, m)
    low, high = (stats.binomtest(k, of).proportion_ci(1 - significance, method="exact") for k, of in ((a, n), (b, m)))
    t, f = low.low, high.high
    sides = [log(t / f) if t > 0 else -inf, log((1 - f) / (1 - t)) if f < 1 else -inf, 0.0]
    assert float(bound_of_rates(a, n, b, m, significance=significance)) == pytest.approx(max(sides), abs=1e-6)


def sampled(name: str, n: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    worlds = {
        "laplace": lambda mean: mean + draw.laplace(0, 1 / 2, n),
        "response": lambda mean: (draw.random(n) < (1 / (1 + exp(-2)) if mean else 1 / (1 + exp(2)))) * 1.0,
        "gaussian": lambda mean: draw.normal(mean, 1, n),
        "turned": lambda mean: -draw.normal(mean, 1, n),
    }
    return worlds[name](1), worlds[name](0)


@pytest.mark.parametrize("name", ["laplace", "response", "gaussian", "turned"])
def test_scores_choose_their_cut_on_one_half_and_are_tested_on_the_other(name: str) -> None:
    delta = 0.0 if name in ("laplace", "response") else 0.05
    truth = 2.0 if not delta else gaussian(1, delta).epsilon
    draw = np.random.default_rng(5)
    assert 0.8 * truth <= bound_of_scores(*sampled(name, 200_000, draw), delta=delta) <= truth
    runs = 200
    found = [bound_of_scores(*sampled(name, 120, draw), delta=delta) for _ in range(runs)]
    assert sum(f > truth for f in found) <= stats.binom.ppf(0.9999, runs, SIGNIFICANCE)
    assert np.median(found) > 0


def test_the_same_half_for_both_would_claim_a_leak_where_there_is_none() -> None:
    draw, runs, n = np.random.default_rng(6), 200, 60
    honest = own = 0
    for _ in range(runs):
        a, b = draw.normal(size=n), draw.normal(size=n)
        honest += bound_of_scores(a, b, significance=0.3) > 0
        cut = best_cut(a, b, significance=0.3)
        own += float(bound_of_rates(int(cut(a).sum()), n, int(cut(b).sum()), n, significance=0.3)) > 0
    assert honest <= stats.binom.ppf(0.9999, runs, 0.3) < own


def test_a_cut_between_equal_ones_is_the_middle_one() -> None:
    low, high = np.arange(20.0), np.arange(30.0, 50.0)
    cut, turned = best_cut(high, low), best_cut(low, high)
    assert (cut.at, cut.below) == (24.5, False)
    assert (turned.at, turned.below) == (24.5, True)
    assert bound_of_scores(np.ones(50), np.ones(50)) == 0.0


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.0, 1e-6, 1e-4]), st.floats(0.01, 0.2))
@settings(max_examples=40, deadline=None)
def test_the_bound_of_guesses_is_where_so_many_right_ones_become_probable_enough(
    right: int, wrong: int, delta: float, significance: float
) -> None:
    made, rows = right + wrong, right + wrong + 30

    def chance(epsilon: float) -> float:
        p = 1 / (1 + exp(-epsilon))
        just_short = np.cumsum(stats.binom.pmf(right - np.arange(1, right + 1), made, p)) / np.arange(1, right + 1)
        return stats.binom.sf(right - 1, made, p) + 2 * rows * delta * max(just_short, default=0.0)

    found = bound_of_guesses(right, made, rows, delta=delta, significance=significance)
    if found == 0:
        assert chance(1e-6) >= significance * (1 - 1e-3) or right == 0
    else:
        assert chance(found) == pytest.approx(significance, rel=1e-3)


def one_run(name: str, rows: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores and coins of one run with epsilon 1 (delta 1e-5 for the revealing one)."""
    members = draw.random(rows) < 0.5
    honest = draw.random(rows) < 1 / (1 + exp(-1))
    told = np.where(honest, members, ~members) * 1.0
    if name == "revealing":
        told = np.where(draw.random(rows) < 1e-5, 2.0 * members - 0.5, told)
    if name == "sum":  # one number for all: a test of single rows sees next to nothing
        told = np.full(rows, members.sum() + draw.laplace()) + draw.normal(size=rows)
    if name == "laplace":
        told = members + draw.laplace(size=rows)
    return told + draw.random(rows) * 1e-6, members


@pytest.mark.parametrize("name", ["response", "revealing", "sum", "laplace"])
def test_one_run_with_rows_in_or_out_by_coins_bounds_epsilon(name: str) -> None:
    draw, runs = np.random.default_rng(7), 200
    delta = 1e-5 if name == "revealing" else 0.0
    found = []
    for _ in range(runs):
        right, made = guesses(*one_run(name, 200, draw), share=0.5)
        assert made == 100
        found.append(bound_of_guesses(right, made, 200, delta=delta))
    assert sum(f > 1 for f in found) <= stats.binom.ppf(0.9999, runs, SIGNIFICANCE)
    if name in ("response", "laplace"):
        right, made = guesses(*one_run(name, 200_000, draw), share=0.5 if name == "response" else 0.1)
        assert bound_of_guesses(right, made, 200_000) == pytest.approx(1, rel=0.2)


def test_guesses_are_the_extremes() -> None:
    members = np.array([True, False, True, False, True, True])
    assert guesses(np.array([5.0, 1.0, 4.0, 2.0, 3.0, 0.0]), members, 0.7) == (3, 4)
    assert guesses(np.arange(3.0), members[:3], 0.3) == (0, 0)
    assert bound_of_guesses(0, 0, 3) == 0.0
