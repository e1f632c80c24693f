"""Several retrained models: most of them decide, each beside its own scores and its own way of giving way."""

from dataclasses import replace

import pytest
from test_verdict import KNOWS, NEVER_KNEW, ROLES, N, table

from unteach.audit.audit import _judged
from unteach.audit.gates import Thresholds
from unteach.audit.models import is_retrained
from unteach.audit.panel import agreed, most
from unteach.audit.withstood import withstood
from unteach.report import from_json, to_json
from unteach.schema import Finding, Report, Verdict


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["forgotten"], "forgotten"),
        (["forgotten", "forgotten", "not forgotten"], "forgotten"),
        (["forgotten", "not forgotten"], "not forgotten"),  # half is not most
        (["forgotten", "not forgotten", "broken"], "not forgotten"),
        (["over-forgotten", "not forgotten", "over-forgotten"], "over-forgotten"),
    ],
)
def test_most_say_it(words: list, word: str) -> None:
    assert most(words) == word
    assert agreed([Verdict(w) for w in words]).verdict == word


def test_one_retrained_model_is_no_panel() -> None:
    alone = Verdict("forgotten", reason="Held.")
    assert agreed([alone]) is alone


def test_names_of_retrained_models() -> None:
    assert all(map(is_retrained, ("retrained", "retrained 2", "retrained 13")))
    assert not any(map(is_retrained, ("retrained with care", "retrained ", "edited", "original", "2", "13", "")))


def rows(*surer: float) -> list:
    """An edited model that never knew, beside retrained ones that are so much surer of the rows."""
    found = table("original", KNOWS, n=N) + table("mine", NEVER_KNEW, n=N)
    for number, more in enumerate(surer, 1):
        name = "retrained" if number == 1 else f"retrained {number}"
        found += table(name, NEVER_KNEW, n=N, forget_probability=NEVER_KNEW["probability"][0] - more)
    return found


@pytest.mark.parametrize(("surer", "word"), [((0, 0, 0.3), "forgotten"), ((0, 0.3, 0.3), "not forgotten"), ((0.3, 0), "not forgotten")])  # fmt: skip
def test_a_verdict_is_that_of_most_and_keeps_each(surer: tuple[float, ...], word: str) -> None:
    found = _judged(rows(*surer), "mine", ROLES, Thresholds(), guarded=False)
    assert found.verdict == word
    assert [v.verdict for v in found.beside] == ["not forgotten" if more else "forgotten" for more in surer]
    said = sum(v.verdict == word for v in found.beside)
    assert found.reason.endswith(f"So it is beside {said} of {len(surer)} retrained models.")
    assert found.gates == next(v for v in found.beside if v.verdict == word).gates


def finding(model: str, value: float) -> Finding:
    return Finding("relearn", model, "weights", "told", value, value - 0.01, value + 0.01, 40, 0.1, value - 0.1)


def test_attacks_count_beyond_each_retrained_model_and_come_back_from_json() -> None:
    """What comes back of the model comes back of one of three references too: beside that one it is forgotten."""
    models = {m: {"role": "retrained" if is_retrained(m) else "edited"} for m in ("mine", "retrained", "retrained 2", "retrained 3")}  # fmt: skip
    attacks = (
        finding("retrained", 0.9),
        finding("retrained 2", 0.2),
        finding("retrained 3", 0.2),
        finding("mine", 0.9),
    )
    found = _judged(rows(0, 0, 0), "mine", ROLES, Thresholds(), guarded=False)
    report = withstood(Report("", models, {}, {"mine": found}, (), attacks=attacks))
    judged = report.verdicts["mine"]
    assert [v.verdict for v in judged.beside] == ["forgotten", "not forgotten", "not forgotten"]
    assert judged.verdict == "not forgotten"
    assert "beside 2 of 3 retrained models" in judged.reason
    assert [g.passed for v in judged.beside for g in v.gates if g.name == "attack relearn"] == [True, False, False]
    assert from_json(to_json(report)).verdicts["mine"] == judged
    one = withstood(replace(report, models={"mine": {}, "retrained": {}}, verdicts={"mine": found.beside[0]}))
    assert one.verdicts["mine"].verdict == "forgotten"
