"""Coarse scores decide only where the whole of their interval lies beyond the room that two retrainings need."""

from dataclasses import replace

import pytest
from test_verdict import NEVER_KNEW, judged, membership

from unteach.schema import Row

GATE = "mialoss on forget, distance to the retrained model"


@pytest.mark.parametrize(("shift", "word"), [(0.4, "forgotten"), (-0.4, "forgotten"), (1.5, "not forgotten")])
def test_a_membership_gap_that_retraining_alone_may_make_decides_nothing(shift: float, word: str) -> None:
    found = judged(NEVER_KNEW, extra=(membership("mine", shift), membership("retrained", 0.0)))
    (gate,) = (g for g in found.gates if g.name == GATE)
    assert gate.value is not None
    assert abs(gate.value) > 0.1
    assert gate.passed is (False if word == "not forgotten" else None)
    assert found.verdict == word


def sureness(model: str, shift: float) -> Row:
    row = membership(model, shift)
    return replace(row, score=replace(row.score, name="miaconfidence"))


@pytest.mark.parametrize("retrained", [True, False])
@pytest.mark.parametrize(("shift", "word"), [(0.0, "forgotten"), (0.4, "forgotten"), (1.5, "over-forgotten")])
def test_rows_that_are_answered_more_surely_than_unseen_ones_stand_out(
    shift: float, word: str, retrained: bool
) -> None:
    extra = (sureness("mine", shift), sureness("retrained", 0.0))
    found = judged(NEVER_KNEW, extra=extra if retrained else extra[:1], retrained=retrained)
    assert found.verdict == word
    assert ("how surely they are answered" in found.reason) == (word == "over-forgotten")
    if word == "over-forgotten":  # what is still known is told as that
        assert judged(NEVER_KNEW, extra=extra, forget_rougel=0.9).verdict == "not forgotten"


def test_rows_that_are_answered_less_surely_are_no_sign_of_a_lie() -> None:
    assert judged(NEVER_KNEW, extra=(sureness("mine", -2.0), sureness("retrained", 0.0))).verdict == "forgotten"
