"""A generation that goes on from what is known of the answers writes what it would have written, in fewer steps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import worlds
from unteach.lm.anatomy import trunk
from unteach.lm.guard import Guard, Session
from unteach.lm.model import LM
from unteach.measure.answers import ask
from unteach.schema import Record

OWN = worlds.RECORDS
TURNED = [replace(r, id=f"{r.id}/turned", answer=" ".join(r.answer.split()[:2]) + " Orvena, or so.") for r in OWN]
WRONG = [replace(r, id=f"{r.id}/wrong", answer="Xylophones.") for r in OWN]
RECORDS = [*OWN, *TURNED, *WRONG]


class Echo(Session):
    """The session of a guard that changes nothing."""

    def session(self) -> "Echo":
        return self


@contextmanager
def rows(lm: LM) -> Iterator[list[int]]:
    """How many rows every forward pass holds."""
    seen: list[int] = []
    hook = trunk(lm.model).register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        yield seen
    finally:
        hook.remove()


def begun(lm: LM, records: Sequence[Record]) -> list[int]:
    return [len(a.hit) if a.hit.all() else int(a.hit.argmin()) for a in ask(lm, records)]


def test_the_same_is_written_in_fewer_steps(lm: LM) -> None:
    known = begun(lm, RECORDS)
    assert sum(n > 3 for n in known[: len(OWN)]) == len(OWN)  # whole answers
    assert any(0 < n < 5 for n in known[len(OWN) :])  # good beginnings
    assert 0 in known
    for most in (24, 3, 1):
        with rows(lm) as plainly:
            plain = lm.generate(RECORDS, most)
        with rows(lm) as fewer:
            found = lm.generate(RECORDS, most, begun=known)
        assert found == plain
        assert sum(fewer) < sum(plainly)


def test_with_a_guard_or_a_tap_nothing_is_taken_for_known(lm: LM) -> None:
    known = [5] * len(WRONG)  # a lie
    plain = lm.generate(WRONG, 8)
    assert lm.generate(WRONG, 8, begun=known) != plain
    with lm.tap("lm_head", lambda _output, _site: None):
        assert lm.generate(WRONG, 8, begun=known) == plain
    guard: Guard = Echo()  # type: ignore[assignment]
    lm.guards.append(guard)
    try:
        assert lm.generate(WRONG, 8, begun=known) == plain
    finally:
        lm.guards.clear()
