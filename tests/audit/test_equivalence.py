"""Two one-sided tests: right against scipy's own t test, right in how often they err, and silent where they must be."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_ind

from unteach.audit.equivalence import compared, margins, tost
from unteach.report import seeds
from unteach.schema import InputError, Report, Row, Score

CLOSE, FAR = [0.30, 0.32, 0.31, 0.29], [0.80, 0.82, 0.81]


@pytest.mark.parametrize("size", [(3, 3), (3, 7), (12, 5)])
def test_p_and_interval_are_those_of_two_welch_tests(size):
    draw = np.random.default_rng(sum(size))
    a, b = draw.normal(0.02, 0.05, size[0]), draw.normal(0.0, 0.02, size[1])
    found = tost(list(a), list(b), 0.05)
    above = ttest_ind(a + 0.05, b, equal_var=False, alternative="greater").pvalue
    below = ttest_ind(a - 0.05, b, equal_var=False, alternative="less").pvalue
    assert found.p == pytest.approx(max(above, below), rel=1e-9)
    interval = ttest_ind(a, b, equal_var=False).confidence_interval(0.90)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_the_three_findings():
    assert tost(CLOSE, [0.30, 0.31, 0.32], 0.05).finding == "equivalent"
    assert tost(FAR, CLOSE, 0.05).finding == "different"
    assert tost(CLOSE, FAR, 0.05).finding == "different"
    assert tost(CLOSE, [0.25, 0.35, 0.45], 0.05).finding == "not decided"


def test_equivalence_is_p_below_alpha_and_works_both_ways():
    draw = np.random.default_rng(1)
    seen = set()
    for _ in range(300):
        a, b = draw.normal(draw.uniform(0, 0.1), 0.02, 4).tolist(), draw.normal(0.0, 0.02, 5).tolist()
        there, back = tost(a, b, 0.05), tost(b, a, 0.05)
        assert there.finding == back.finding
        assert (there.finding == "equivalent") == (there.p < 0.05)
        seen.add(there.finding)
    assert seen == {"equivalent", "different", "not decided"}


def test_it_errs_no_more_often_than_alpha():
    """At a true difference of exactly the margin, equivalence is claimed in one of twenty draws."""
    draw = np.random.default_rng(2)
    claims = sum(
        tost(draw.normal(0.05, 0.01, 5).tolist(), draw.normal(0, 0.01, 5).tolist(), 0.05).finding == "equivalent"
        for _ in range(4000)
    )
    assert abs(claims / 4000 - 0.05) < 3 * (0.05 * 0.95 / 4000) ** 0.5


@pytest.mark.parametrize("few", [[], [0.3], [0.3, 0.3]])
def test_fewer_than_three_models_decide_nothing(few):
    for found in (tost(few, CLOSE, 0.5), tost(CLOSE, few, 0.5)):
        assert (found.finding, found.p, found.low) == ("not decided", None, None)
        assert "3 of each are needed" in found.reason


def test_values_that_never_differ_are_compared_as_they_are():
    assert tost([0.0] * 3, [0.0] * 3, 0.05) == tost([0.0] * 4, [0.0] * 5, 0.05)
    assert tost([0.0] * 3, [0.04] * 3, 0.05).finding == "equivalent"
    assert tost([0.0] * 3, [0.06] * 3, 0.05).finding == "different"
    tiny = tost([0.0, 1e-170, 2e-170], [0.0, 1e-170, 3e-170], 0.05)
    assert tiny.finding == "equivalent"


@pytest.mark.parametrize("margin", [0.0, -0.1, float("nan"), float("inf")])
def test_a_margin_that_tests_nothing_is_refused(margin):
    with pytest.raises(InputError, match="cannot be tested; give a difference above 0"):
        tost(CLOSE, FAR, margin)
    with pytest.raises(InputError, match="cannot be tested"):
        compared(_over([[0.3, 0.3]]), {"probability": margin})


def _over(pairs: list[list[float | None]], *, roles: tuple[str, str] = ("edited", "retrained")):
    names = {"m": roles[0], "r": roles[1]}
    return seeds(
        {
            seed: Report(
                "r",
                {m: {"role": role, "digest": f"{m}{seed}"} for m, role in names.items()},
                {"forget": {"role": "forget"}},
                {},
                tuple(
                    Row(m, "forget", Score(metric, value))
                    for metric in ("probability", "rougel")
                    for m, value in zip(names, values, strict=True)
                ),
            )
            for seed, values in enumerate(pairs)
        }
    )


def test_every_model_is_compared_with_the_retrained_ones_where_there_is_a_margin():
    found = compared(_over([[0.3, 0.31], [0.31, 0.3], [0.3, 0.3]]), {"probability": 0.05})
    assert [(s.metric, s.model.name, s.test and s.test.finding) for s in found.spreads] == [
        ("probability", "m", "equivalent"),
        ("probability", "r", None),
        ("rougel", "m", None),
        ("rougel", "r", None),
    ]


def test_a_run_without_a_value_decides_nothing():
    """Where a run collapsed, the mean of the others is a choice of the survivors."""
    found = compared(_over([[0.3, 0.31], [0.31, 0.3], [0.3, 0.3], [None, 0.3]]), {"rougel": 0.05})
    assert [(s.test.finding, s.test.reason) for s in found.spreads if s.test] == [("not decided", "a run has no value")]


def test_one_retrained_model_for_all_seeds_decides_nothing():
    runs = _over([[0.3, 0.31], [0.31, 0.31], [0.3, 0.31]])
    one = tuple(replace(s, values={0: 0.31}, repeated=2) if s.model.role == "retrained" else s for s in runs.spreads)
    found = compared(replace(runs, spreads=one), {"probability": 0.05})
    assert found.spreads[0].test.reason == "3 and 1 models, 3 of each are needed"


def test_without_a_retrained_model_nothing_is_decided():
    found = compared(_over([[0.3, 0.3]] * 3, roles=("edited", "original")), {"probability": 0.05})
    assert {s.test.reason for s in found.spreads if s.test} == {"there is no retrained model"}


def test_a_margin_for_what_was_not_measured_is_refused():
    with pytest.raises(InputError, match="no run measured 'kl'; give margins for probability, rougel"):
        compared(_over([[0.3, 0.3]]), {"kl": 0.1})


def test_margins_are_read_from_words():
    assert margins(["probability=0.05", "rougel=1e-1"]) == {"probability": 0.05, "rougel": 0.1}
    for word in ("0.05", "probability=", "probability=wide"):
        with pytest.raises(InputError, match="is not understood; write METRIC=NUMBER"):
            margins([word])
