"""The challenge's estimate of epsilon, against a slow one, and its points."""

from math import log

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unteach.audit.epsilon import (
    CAP,
    greatest_epsilon,
    points,
    row_epsilon,
)


def slow_row_epsilon(unlearned: np.ndarray, retrained: np.ndarray, delta: float) -> float | None:
    a, b = (unlearned, retrained) if np.median(unlearned) >= np.median(retrained) else (retrained, unlearned)
    narrow, wide = (a, b) if np.ptp(a) <= np.ptp(b) else (b, a)
    top, width = narrow.max(), np.ptp(narrow)
    values = [v + d for v in (*a, *b) for d in (-1e-9, 0.0, 1e-9)]
    rates = [((a < t).mean(), (b >= t).mean()) for t in (*a, *b)]
    for hi in (*values, top - 2, top + 2, *(v + width + side for v in values for side in (-2, 2))):
        for lo in (*values, hi - width - 2, hi - width + 2):
            if lo <= hi and abs(hi - top) <= 2 and abs(hi - lo - width) <= 2 + 1e-12:
                rates.append((1 - ((lo <= narrow) & (narrow <= hi)).mean(), ((lo <= wide) & (wide <= hi)).mean()))
    if any(fnr == fpr == 0 for fnr, fpr in rates):
        return CAP
    found = []
    for fnr, fpr in rates:
        if fnr > 0 and fpr > 0:
            sides = [(1 - delta - fpr, fnr), (1 - delta - fnr, fpr)]
            found.append(max([log(x / y) for x, y in sides if x > 0] + [0.0]))
    return max(found, default=None)


@given(st.integers(0, 2**32 - 1), st.integers(3, 9), st.integers(3, 9), st.booleans())
@example(9, 3, 8, True)
@settings(max_examples=40, deadline=None)
def test_the_challenges_epsilon_is_the_best_of_all_cuts_and_intervals(seed: int, n: int, m: int, whole: bool) -> None:
    draw = np.random.default_rng(seed)
    a, b = draw.normal(draw.normal(), draw.uniform(0.3, 6), n), draw.normal(0, 3, m)
    if whole:  # many ties
        a, b = a.round(), b.round()
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return
    found, slow = row_epsilon(a, b), slow_row_epsilon(a, b, 1e-5)
    assert (found is None) == (slow is None)
    assert found is None or found == pytest.approx(slow)


def test_the_challenges_epsilon_at_its_ends() -> None:
    draw = np.random.default_rng(8)
    a, b = draw.normal(size=40), draw.normal(size=40)
    assert row_epsilon(a, a + 99) == CAP == row_epsilon(a + 99, a)
    assert row_epsilon(np.zeros(5), np.zeros(5)) == 0.0
    assert row_epsilon(np.zeros(5), np.ones(5)) == CAP
    assert row_epsilon(a / 1000, b) == CAP  # all in one place is no forgetting
    inner = np.concatenate([a[:20] / 9, [-3, 3]])  # no single cut tells it as well as an interval does
    assert row_epsilon(inner, np.concatenate([a[:20] - 2, b[:20] + 2])) > 1.5
    for scale in (1e-3, 1, 1e3):  # a grid of fixed steps would see nothing of the small one
        assert row_epsilon(a * scale, (b + 0.7) * scale) > 1
    assert row_epsilon(np.array([0.0, 3.0]), np.array([1.0, 3.0])) is not None
    assert row_epsilon(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == pytest.approx(0.0)


def test_halves_of_epsilon_halve_the_points_up_to_what_can_be_measured() -> None:
    assert [greatest_epsilon(n) for n in (1, 2, 8, 16, 32, 64, 512)] == [0, 0, 2, 3, 4, 5, 7]
    assert [points(e, 512) for e in (0, 0.49, 0.5, 1.2, 6.99, 7, CAP)] == [1, 1, 0.5, 0.25, 2**-13, 0, 0]
    assert [points(e, 8) for e in (0, 1.99, 2)] == [1, 2**-3, 0]


def test_retrained_models_beside_others_do_not_get_full_points() -> None:
    """The best of many tests on the very samples is no unbiased estimate; the score is to be read beside this."""
    draw, n = np.random.default_rng(9), 64
    found = [row_epsilon(draw.normal(size=n), draw.normal(size=n)) for _ in range(60)]
    score = np.mean([points(e, n) for e in found])
    assert score == pytest.approx(0.19, abs=0.06)  # the published figure for retraining, with 512 models
    apart = [row_epsilon(draw.normal(3, 1, n), draw.normal(size=n)) for _ in range(60)]
    assert np.mean([points(e, n) for e in apart]) < score / 3
