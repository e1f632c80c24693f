"""Coarse scores decide only where the whole of their interval lies beyond the room that two retrainings need."""

import pytest
from test_verdict import NEVER_KNEW, judged, membership

GATE = "mialoss on forget, distance to the retrained model"


@pytest.mark.parametrize(("shift", "word"), [(0.4, "forgotten"), (-0.4, "forgotten"), (1.5, "not forgotten")])
def test_a_membership_gap_that_retraining_alone_may_make_decides_nothing(shift: float, word: str) -> None:
    found = judged(NEVER_KNEW, extra=(membership("mine", shift), membership("retrained", 0.0)))
    (gate,) = (g for g in found.gates if g.name == GATE)
    assert gate.value is not None
    assert abs(gate.value) > 0.1
    assert gate.passed is (False if word == "not forgotten" else None)
    assert found.verdict == word
