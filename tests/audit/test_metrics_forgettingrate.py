"""The defining property of the forgetting rate: membership before and after."""

import math

import pytest
from memorised import score
from told import Watcher, answer, evidence, record

from unteach.audit.evidence import Evidence

pytestmark = pytest.mark.usefixtures("told_or_real")


def told_losses(losses: dict[str, float], **more: object) -> Evidence:
    sets = {s: [record(i) for i in rows] for s, rows in (("forget", range(4)), ("retain", range(10, 14)))}
    sets["holdout"] = [record(i) for i in range(20, 24)]
    sets.update(more.pop("sets", {}))
    return evidence(lambda r: answer(math.exp(-losses[r.id])), **more, **sets)


BEFORE = {
    "r0": 0.1,
    "r1": 0.2,
    "r2": 0.3,
    "r3": 2.5,  # the last was never recognised
    "r10": 0.1,
    "r11": 0.2,
    "r12": 0.3,
    "r13": 0.4,
    "r20": 1.4,
    "r21": 2.0,
    "r22": 3.0,
    "r23": 4.0,  # threshold 0.9
}


def test_forgettingrate_is_the_share_of_known_members_that_are_taken_for_strangers() -> None:
    then = told_losses(BEFORE)
    now = told_losses({**BEFORE, "r0": 3.0, "r1": 0.89, "r2": 0.91, "r3": 0.5})
    now.original = then
    found = score("forgettingrate", now)
    assert found.per_record == {"forget/0000": 1, "forget/0001": 0, "forget/0002": 1}
    assert found.value == pytest.approx(2 / 3)
    assert (found.n, found.direction) == (3, "up")
    assert found.note == (
        "balanced accuracy 1.00 before, 1.00 now; 1 turned the other way; 1 of 4 undefined (not called a member before)"
    )
    same = told_losses(BEFORE)
    same.original = then
    assert score("forgettingrate", same).value == 0.0


def test_each_model_has_its_own_threshold() -> None:
    now = told_losses({k: 10 * v for k, v in BEFORE.items()})  # a model that is less sure of everything
    now.original = told_losses(BEFORE)
    assert score("forgettingrate", now).value == 0.0
    mixed = {**BEFORE, "r13": 2.5, "r20": 0.15}  # 3 and 3 of 4 are right at 1.15, and as many at 2.75
    now = told_losses({**mixed, "r0": 1.14, "r1": 1.16})
    now.original = told_losses(BEFORE)
    found = score("forgettingrate", now)
    assert found.per_record == {"forget/0000": 0, "forget/0001": 1, "forget/0002": 0}
    assert "balanced accuracy 1.00 before, 0.75 now" in found.note


def test_a_model_that_says_the_same_of_everything_has_forgotten_and_the_note_shows_that_it_was_destroyed() -> None:
    now = told_losses(dict.fromkeys(BEFORE, 5.0))
    now.original = told_losses(BEFORE)
    found = score("forgettingrate", now)
    assert found.value == 1.0
    assert "1.00 before, 0.50 now" in found.note
    back = told_losses(BEFORE)
    back.original = told_losses(dict.fromkeys(BEFORE, 5.0))  # nothing was ever recognised
    assert score("forgettingrate", back).value is None


def test_forgettingrate_needs_the_original_and_rows_to_set_the_threshold_by() -> None:
    assert score("forgettingrate", told_losses(BEFORE)).note == "no original model to compare with"
    for lacking in ("retain", "holdout"):
        now = told_losses(BEFORE, sets={lacking: []})
        now.original = told_losses(BEFORE, sets={lacking: []})
        assert score("forgettingrate", now).note == "no retain and holdout rows to set the threshold by"
    now = told_losses(BEFORE)
    now.original = told_losses(BEFORE, guards=[Watcher(False)])
    assert score("forgettingrate", now).note == "not observable behind a guard or a server"
