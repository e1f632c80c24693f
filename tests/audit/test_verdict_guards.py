"""A guard hides what a model knows: whatever is said behind it, nothing was removed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from test_verdict import KNOWS, NEVER_KNEW, ROLES, table

import worlds
from unteach.audit.audit import audit
from unteach.audit.suite import of
from unteach.audit.verdict import verdict
from unteach.lm.guard import Guard, Session
from unteach.lm.model import LM


@dataclass(frozen=True)
class Silent(Guard, Session):
    """Every reply is covered; `observable` is what the guard says of itself."""

    observable: bool = False

    def session(self) -> "Silent":
        return self

    def reply(self, text: str) -> str:
        return "*" * len(text)


@contextmanager
def behind(lm: LM, guard: Silent) -> Iterator[LM]:
    lm.guards.append(guard)
    try:
        yield lm
    finally:
        lm.guards.pop()


def test_answers_as_of_a_retrained_model_are_no_forgetting_behind_a_guard() -> None:
    rows = table("original", KNOWS) + table("retrained", NEVER_KNEW) + table("mine", NEVER_KNEW)
    assert verdict(rows, "mine", roles=ROLES).verdict == "forgotten"
    found = verdict(rows, "mine", roles=ROLES, guarded=True)
    assert found.verdict == "not forgotten"
    assert found.reason == "A guard hides what the model knows; nothing was removed from it."
    assert [g.name for g in found.gates if g.passed is False] == ["no guard"]


def test_what_is_damaged_or_leaks_behind_a_guard_is_still_said() -> None:
    rows = table("original", KNOWS) + table("retrained", NEVER_KNEW)
    broken = verdict(rows + table("mine", NEVER_KNEW, retain_rougel=0.1), "mine", roles=ROLES, guarded=True)
    assert broken.verdict == "broken"
    leaking = verdict(rows + table("mine", NEVER_KNEW, forget_rougel=0.9), "mine", roles=ROLES, guarded=True)
    assert leaking.reason == "More is still known than should be: rougel on forget."


@pytest.mark.parametrize("observable", [True, False])
def test_an_audit_sees_the_guard_that_a_model_wears(llama: LM, observable: bool) -> None:
    sets = {"forget": worlds.FORGET, "retain": worlds.RETAIN}
    models = {"original": llama, "mine": lambda: behind(llama, Silent(observable)), "bare": llama}
    suite = replace(of("probability", "rougel", "exactmemorization"), max_new=8)
    report = audit(models, sets, roles={s: s for s in sets}, suite=suite)
    assert report.verdicts["mine"].verdict in ("not forgotten", "broken")
    assert "no guard" in {g.name for g in report.verdicts["mine"].gates}
    assert "no guard" not in {g.name for g in report.verdicts["bare"].gates}
