"""The word that follows from made-up scores, one circumstance at a time."""

from dataclasses import replace

import numpy as np
import pytest

from unteach.audit.gates import Thresholds
from unteach.audit.scoring import UNOBSERVABLE
from unteach.audit.statistics import auc, bootstrap_mean
from unteach.audit.verdict import verdict
from unteach.schema import Row, Score, Verdict

ROLES = {"forget": "forget", "retain": "retain", "general": "general", "holdout": "holdout"}
N = 40
# metric: values on forget, retain, general, holdout
KNOWS = {
    "probability": (0.98, 0.97, 0.6, 0.15),
    "rougel": (0.97, 0.95, 0.7, 0.3),
    "exactmemorization": (0.99, 0.99, 0.7, 0.4),
    "perplexity": (1.02, 1.03, 3.0, 8.0),
    "distinctoutputs": (None, 1.0, 1.0, None),
}
NEVER_KNEW = {
    "probability": (0.14, 0.96, 0.6, 0.15),
    "rougel": (0.31, 0.95, 0.7, 0.3),
    "exactmemorization": (0.41, 0.98, 0.7, 0.4),
    "perplexity": (8.5, 1.05, 3.0, 8.0),
    "distinctoutputs": (None, 0.98, 1.0, None),
}


def table(model: str, means: dict, *, n: int = N, spread: float = 0.02, **changes: float) -> list[Row]:
    """Scores with records around the means; `retain_rougel=0.5` puts another mean."""
    rows = []
    for metric, values in means.items():
        for where, value in zip(ROLES, values, strict=True):
            mean = changes.get(f"{where}_{metric}", value)
            if mean is not None:
                rows.append(Row(model, where, made(metric, where, mean, n, spread)))
    return rows


def made(metric: str, where: str, mean: float, n: int, spread: float) -> Score:
    noise = np.random.default_rng(len(metric) + n).normal(0, spread, n) if n > 1 else np.zeros(1)
    values = mean + noise - noise.mean()
    low, high = bootstrap_mean(values) or (None, None)
    return Score(metric, mean, low, high, n, {f"{where}/{i:04d}": float(v) for i, v in enumerate(values)})


def judged(means: dict, *, retrained: bool = True, roles: dict = ROLES, n: int = N, asked: Thresholds | None = None,
           extra: tuple[Row, ...] = (), **changes: float) -> Verdict:  # fmt: skip
    rows = table("original", KNOWS, n=n) + table("mine", means, n=n, **changes)
    rows += table("retrained", NEVER_KNEW, n=n) if retrained else []
    return verdict(
        [r for r in (*rows, *extra) if r.set in roles], "mine", roles=roles, thresholds=asked or Thresholds()
    )


@pytest.mark.parametrize("retrained", [True, False])
def test_the_three_plain_cases(retrained: bool) -> None:
    assert judged(NEVER_KNEW, retrained=retrained).verdict == "forgotten"
    untouched = judged(KNOWS, retrained=retrained)
    assert untouched.verdict == "not forgotten"
    assert "rougel on forget" in untouched.reason
    gone = {m: tuple(v and (1e9 if m == "perplexity" else 1e-9) for v in values) for m, values in KNOWS.items()}
    assert judged(gone, retrained=retrained).verdict == "broken"


def test_every_gate_says_what_was_measured_and_asked() -> None:
    found = judged(NEVER_KNEW)
    assert len(found.gates) == 4 + 8
    for gate in found.gates:
        assert gate.passed is True
        assert gate.value is not None
        assert gate.threshold is not None
        assert gate.note
    assert found.gates[0].note == ("0.14 where the retrained model has 0.14; difference +0.000 ± 0.000, at most 0.1")


@pytest.mark.parametrize(
    ("metric", "value"), [("probability", 0.26), ("rougel", 0.43), ("exactmemorization", 0.53), ("perplexity", 3.0)]
)
def test_one_score_above_the_retrained_models_is_a_leak(metric: str, value: float) -> None:
    found = judged(NEVER_KNEW, **{f"forget_{metric}": value})
    assert found.verdict == "not forgotten"
    assert found.reason == f"More is still known than should be: {metric} on forget."


@pytest.mark.parametrize(("metric", "value"), [("rougel", 0.02), ("exactmemorization", 0.1), ("perplexity", 80.0)])
def test_one_score_far_below_the_retrained_models_stands_out(metric: str, value: float) -> None:
    assert judged(NEVER_KNEW, **{f"forget_{metric}": value}).verdict == "over-forgotten"


def test_without_a_retrained_model_saying_less_than_of_unseen_rows_is_no_fault_but_shunning_them_is() -> None:
    assert judged(NEVER_KNEW, retrained=False, forget_rougel=0.0).verdict == "forgotten"
    assert judged(NEVER_KNEW, retrained=False, forget_perplexity=90.0).verdict == "over-forgotten"
    assert judged(NEVER_KNEW, retrained=False, forget_rougel=0.45).verdict == "not forgotten"


@pytest.mark.parametrize("where", ["retain", "general"])
def test_damage_to_what_should_stay_is_over_forgetting_and_ruin_is_broken(where: str) -> None:
    assert judged(NEVER_KNEW, **{f"{where}_rougel": 0.6}).verdict == "over-forgotten"
    assert judged(NEVER_KNEW, **{f"{where}_perplexity": 5.0}).verdict in ("over-forgotten", "broken")
    assert judged(NEVER_KNEW, **{f"{where}_rougel": 0.2}).verdict == "broken"
    assert judged(NEVER_KNEW, **{f"{where}_perplexity": 50.0}).verdict == "broken"
    assert judged(NEVER_KNEW, **{f"{where}_distinctoutputs": 0.85}).verdict == "over-forgotten"
    assert judged(NEVER_KNEW, **{f"{where}_distinctoutputs": 1 / N}).verdict == "broken"
    leaking = judged(NEVER_KNEW, **{f"{where}_rougel": 0.6}, forget_rougel=0.9)
    assert leaking.verdict == "not forgotten"
    assert f"what should stay was damaged: rougel kept on {where}" in leaking.reason


def test_what_leaving_the_rows_out_costs_by_itself_is_not_held_against_an_edit() -> None:
    rows = table("original", KNOWS) + table("retrained", NEVER_KNEW, retain_rougel=0.7, retain_perplexity=1.5)
    mine = table("mine", NEVER_KNEW, retain_rougel=0.68, retain_perplexity=1.55)
    assert verdict(rows + mine, "mine", roles=ROLES).verdict == "forgotten"
    assert judged(NEVER_KNEW, retain_rougel=0.68, retain_perplexity=1.55).verdict == "over-forgotten"


def test_few_rows_say_nothing_positive() -> None:
    few = judged(NEVER_KNEW, n=9)
    assert few.verdict == "inconclusive"
    assert judged(NEVER_KNEW, n=1).verdict == "inconclusive"
    assert judged(KNOWS, n=1).verdict == "not forgotten"  # the burden of proof is on forgetting
    assert judged(NEVER_KNEW, n=12).verdict == "forgotten"


def test_an_interval_wider_than_the_margin_says_nothing() -> None:
    rows = table("original", KNOWS) + table("retrained", NEVER_KNEW) + table("mine", NEVER_KNEW)
    wild = np.random.default_rng(0).choice([-0.6, 0.6], N) + 0.31
    wild += 0.31 - wild.mean()
    wide = Score("rougel", 0.31, 0.1, 0.5, N, {f"forget/{i:04d}": float(v) for i, v in enumerate(wild)})
    rows = [
        replace(r, score=wide) if (r.model, r.set, r.score.name) == ("mine", "forget", "rougel") else r for r in rows
    ]
    found = verdict(rows, "mine", roles=ROLES)
    assert found.verdict == "inconclusive"
    assert found.reason == "Too few rows to tell: rougel on forget."


def test_what_is_missing_is_named() -> None:
    only = {"forget": "forget", "retain": "retain"}
    assert "retrained model or holdout rows" in judged(NEVER_KNEW, retrained=False, roles=only).reason
    assert judged(NEVER_KNEW, retrained=False, roles=only).verdict == "inconclusive"
    found = judged(NEVER_KNEW, roles={"forget": "forget", "general": "general"})
    assert (found.verdict, found.reason.startswith("Fewer than two scores")) == ("inconclusive", True)
    found = judged(NEVER_KNEW, roles={"retain": "retain"})
    assert (found.verdict, found.reason) == ("inconclusive", "There is no set of rows to forget.")
    sly = {m: v for m, v in NEVER_KNEW.items() if m in ("probability", "perplexity", "distinctoutputs")}
    rows = [r for r in table("original", KNOWS) + table("retrained", NEVER_KNEW) if r.score.name in sly]
    found = verdict(rows + table("mine", sly), "mine", roles=ROLES)
    assert (found.verdict, "No greedy score" in found.reason) == ("inconclusive", True)


def test_behind_a_guard_free_answers_can_show_a_leak_and_no_forgetting() -> None:
    hidden = [
        replace(r, score=Score(r.score.name, None, note=UNOBSERVABLE))
        if r.score.name in ("probability", "exactmemorization", "perplexity") else r
        for r in table("mine", NEVER_KNEW)
    ]  # fmt: skip
    rows = table("original", KNOWS) + table("retrained", NEVER_KNEW)
    found = verdict(rows + hidden, "mine", roles=ROLES)
    assert found.verdict == "inconclusive"
    assert "Nothing but free answers" in found.reason
    assert {g.note for g in found.gates if g.passed is None} == {UNOBSERVABLE}
    told = Score("rougel", 0.9, 0.85, 0.95, N)
    leaking = [replace(r, score=told) if (r.set, r.score.name) == ("forget", "rougel") else r for r in hidden]
    assert verdict(rows + leaking, "mine", roles=ROLES).verdict == "not forgotten"


def membership(model: str, shift: float) -> Row:
    draw = np.random.default_rng(5)
    losses = {f"forget/{i:04d}": float(v) for i, v in enumerate(draw.normal(2 - shift, 1, N))}
    losses |= {f"holdout/{i:04d}": float(v) for i, v in enumerate(draw.normal(2, 1, N))}
    value = auc([v for k, v in losses.items() if k[0] == "f"], [v for k, v in losses.items() if k[0] == "h"])
    return Row(model, "forget", Score("mialoss", value, value - 0.12, value + 0.12, N, losses))


@pytest.mark.parametrize(("shift", "word"), [(0.0, "forgotten"), (2.0, "not forgotten"), (-2.0, "over-forgotten")])
@pytest.mark.parametrize("retrained", [True, False])
def test_membership_that_is_clearly_off_decides_either_way(shift: float, word: str, retrained: bool) -> None:
    extra = (membership("mine", shift), membership("retrained", 0.0))
    assert judged(NEVER_KNEW, extra=extra if retrained else extra[:1], retrained=retrained).verdict == word


def test_other_wordings_count_as_much_as_the_question_itself() -> None:
    def reworded(model: str, value: float) -> Row:
        return Row(model, "forget", made("paraphrase", "forget", value, N, 0.02))

    extra = (reworded("original", 0.8), reworded("retrained", 0.3))
    assert judged(NEVER_KNEW, extra=(*extra, reworded("mine", 0.32))).verdict == "forgotten"
    assert judged(NEVER_KNEW, extra=(*extra, reworded("mine", 0.6))).verdict == "not forgotten"
    alone = judged(NEVER_KNEW, extra=(extra[0], reworded("mine", 0.6)), retrained=False)  # against unseen questions
    assert alone.reason == "More is still known than should be: paraphrase on forget."


def test_thresholds_are_the_callers() -> None:
    assert judged(NEVER_KNEW, retain_rougel=0.88, asked=Thresholds(keep=0.9)).verdict == "forgotten"
    assert judged(NEVER_KNEW, forget_rougel=0.5, asked=Thresholds(margin=0.25)).verdict == "forgotten"
    assert judged(NEVER_KNEW, asked=Thresholds(least=41)).verdict == "inconclusive"


def test_a_score_that_was_near_nothing_before_says_nothing_as_a_share() -> None:
    rows = table("original", KNOWS, general_probability=0.02) + table("retrained", NEVER_KNEW, general_probability=0.02)
    found = verdict(rows + table("mine", NEVER_KNEW, general_probability=0.001), "mine", roles=ROLES)
    assert found.verdict == "forgotten"
    assert "probability kept on general" not in {g.name for g in found.gates}


def declining(where: str, model: str, share: float, n: int = N) -> Row:
    values = {f"{where}/{i:04d}": float(i < round(share * n)) for i in range(n)}
    return Row(model, where, Score("refusalrate", share, 0.0, 1.0, n, values))


@pytest.mark.parametrize("where", ["retain", "general"])
@pytest.mark.parametrize(
    ("before", "ideal", "now", "word"),
    [
        (0.0, 0.0, 0.0, "forgotten"),
        (0.05, 0.0, 0.07, "forgotten"),  # two points more, to the rounding of a difference
        (0.05, 0.0, 0.075, "over-forgotten"),
        (0.0, 0.1, 0.1, "forgotten"),  # so does a model that never saw the rows
        (0.3, 0.0, 0.0, "forgotten"),
        (0.0, 0.0, 0.5, "over-forgotten"),
        (0.0, 0.0, 0.6, "broken"),
    ],
)
def test_declining_what_should_be_answered_is_damage(
    where: str, before: float, ideal: float, now: float, word: str
) -> None:
    extra = tuple(declining(where, m, v) for m, v in (("original", before), ("retrained", ideal), ("mine", now)))
    found = judged(NEVER_KNEW, extra=extra)
    assert found.verdict == word
    (gate,) = (g for g in found.gates if g.name == f"refusalrate added on {where}")
    assert gate.passed == (word == "forgotten")
    assert gate.value == pytest.approx(now - max(before, ideal))
    assert gate.threshold == 0.02
    assert word == "forgotten" or gate.name in found.reason
    if word == "over-forgotten" and now < 0.1:
        assert judged(NEVER_KNEW, extra=extra, asked=Thresholds(refusals=0.03)).verdict == "forgotten"


def test_declining_what_was_to_be_forgotten_is_no_damage_and_few_rows_say_nothing() -> None:
    extra = tuple(declining("forget", m, v) for m, v in (("original", 0.0), ("retrained", 0.0), ("mine", 1.0)))
    assert judged(NEVER_KNEW, extra=extra).verdict == "forgotten"
    few = tuple(declining("retain", m, 0.0, n=9) for m in ("original", "retrained", "mine"))
    (gate,) = (g for g in judged(NEVER_KNEW, extra=few).gates if g.name.startswith("refusalrate"))
    assert (gate.passed, gate.value, gate.note) == (None, None, "9 rows are too few; at least 10 are asked for")


def test_answering_at_all_is_no_sign_of_what_is_still_known() -> None:
    spoken = {m: v for m, v in NEVER_KNEW.items() if m in ("rougel", "perplexity")}
    rows = [r for r in table("original", KNOWS) + table("retrained", NEVER_KNEW) if r.score.name in spoken]
    rows += table("mine", spoken) + [declining("retain", m, 0.0) for m in ("original", "retrained", "mine")]
    found = verdict(rows, "mine", roles=ROLES)
    assert (found.verdict, found.reason[:23]) == ("inconclusive", "Fewer than two scores o")
