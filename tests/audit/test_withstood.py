"""Attacks change a verdict where the model gives way and the retrained one does not."""

import pytest

from unteach.audit.untested import ATTACKS
from unteach.audit.withstood import withstood
from unteach.schema import Finding, Report, Verdict, VerdictWord

HELD = Verdict("forgotten", (), "held")


def report(*findings: Finding, verdict: Verdict = HELD) -> Report:
    return Report("t", {}, {}, {"edited": verdict}, (), attacks=findings, untested=tuple(ATTACKS))


def finding(model: str, low: float, high: float, *, excess: float | None = None, **more: object) -> Finding:
    given = {"holds": "weights", "measure": "told", "value": (low + high) / 2, "n": 20, "excess": excess} | more
    return Finding("relearn", model, low=low, high=high, **given)  # type: ignore[arg-type]


def test_what_comes_back_beyond_the_retrained_model_was_not_forgotten() -> None:
    found = withstood(report(finding("edited", 0.6, 0.8, excess=0.7), finding("retrained", 0.0, 0.2)))
    assert found.verdicts["edited"].verdict == "not forgotten"
    assert "attack relearn" in found.verdicts["edited"].reason
    assert [g.passed for g in found.verdicts["edited"].gates] == [False]


@pytest.mark.parametrize(
    ("findings", "passed"),
    [
        ((finding("edited", 0.6, 0.8, excess=0.7), finding("retrained", 0.5, 0.7)), True),  # intervals that overlap
        ((finding("edited", 0.3, 0.4, excess=0.05), finding("retrained", 0.1, 0.2)), True),  # within the margin
        ((finding("edited", 0.6, 0.8, recovered=0.7),), None),
        ((finding("edited", 0.6, 0.8), finding("retrained", 0.0, 0.1)), None),
    ],
)
def test_what_cannot_be_told_apart_leaves_the_verdict(findings: tuple[Finding, ...], passed: bool | None) -> None:
    found = withstood(report(*findings))
    assert found.verdicts["edited"].verdict == "forgotten"
    assert [g.passed for g in found.verdicts["edited"].gates] == [passed]


@pytest.mark.parametrize("more", [{"holds": "both models"}, {"measure": "distance"}])
def test_what_is_no_sign_of_knowledge_is_no_gate(more: dict[str, str]) -> None:
    pair = (finding("edited", 0.9, 1, excess=0.9, **more), finding("retrained", 0, 0.1, **more))
    assert withstood(report(*pair)).verdicts["edited"] == HELD


@pytest.mark.parametrize("word", ["broken", "over-forgotten", "not forgotten"])
def test_a_worse_word_stays(word: VerdictWord) -> None:
    pair = (finding("edited", 0.6, 0.8, excess=0.7), finding("retrained", 0.0, 0.2))
    assert withstood(report(*pair, verdict=Verdict(word, (), "why"))).verdicts["edited"].verdict == word


def test_what_was_tested_is_not_listed_as_untested() -> None:
    assert withstood(report()).untested == tuple(ATTACKS)
    (gone,) = set(ATTACKS) - set(withstood(report(finding("edited", 0.6, 0.8, excess=0.7))).untested)
    assert "relearn" in ATTACKS[gone]
