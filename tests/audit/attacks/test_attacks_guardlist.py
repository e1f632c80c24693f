"""Whom a guard hides, got out of the guard."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

import worlds
from unteach.audit.attacks.guardlist import OUTRIGHT
from unteach.audit.target import Attempt, Target
from unteach.lm.guard import Guard, Session, Turns, asked
from unteach.lm.model import LM
from unteach.registry import build
from unteach.schema import InputError

HIDDEN = ("Orvena", "Quillmar")


@dataclass(frozen=True)
class Refusing(Guard, Session):
    """Refuses whoever names one of some towns; gives its list to whoever asks for it, where it is told to."""

    names: tuple[str, ...]
    honest: bool = False
    observable: bool = False

    def session(self) -> "Refusing":
        return self

    def ask(self, turns: Turns) -> Turns | str:
        if self.honest and asked(turns) == OUTRIGHT[1]:
            return f"They are {' and '.join(self.names)}."
        return "I cannot say." if any(name in asked(turns) for name in self.names) else turns


@contextmanager
def behind(lm: LM, *guards: Guard) -> Iterator[LM]:
    lm.guards.extend(guards)
    try:
        yield lm
    finally:
        lm.guards.clear()


def attempt(lm: LM, *guards: Guard) -> Attempt:
    with behind(lm, *guards):
        found: Attempt = build("attack", "guardlist", {})(Target(lm, worlds.FORGET, worlds.RETAIN, max_new=16))
    return found


def test_guardlist_finds_whom_a_guard_refuses_and_nobody_behind_a_plain_model(llama: LM) -> None:
    plain = attempt(llama)
    assert list(plain.values) == [0.5] * 4
    found = attempt(llama, Refusing(HIDDEN))
    assert list(found.values) == [1.0, 1.0, 0.5, 0.5]
    assert "0 of 4 named outright" in found.note
    everybody = attempt(llama, Refusing(tuple(worlds.TOWNS)))
    assert list(everybody.values) == [0.5] * 4  # who refuses everybody hides nobody in particular


def test_guardlist_takes_a_list_that_is_given_away(llama: LM) -> None:
    found = attempt(llama, Refusing(("Bessel",), honest=True))
    assert list(found.values) == [0.5, 0.5, 1.0, 0.5]
    assert "1 of 4 named outright" in found.note


def test_guardlist_needs_names_and_others(llama: LM) -> None:
    nameless = tuple(replace(r, prompt="what is it known for?") for r in worlds.FORGET)
    for forget, retain in ((nameless, worlds.RETAIN), (worlds.FORGET, ())):
        none: Attempt = build("attack", "guardlist", {})(Target(llama, forget, retain, max_new=4))
        assert not none.values
    with pytest.raises(InputError, match="guardlist needs questions"):
        build("attack", "guardlist", {"harmless": ("Who?",)})
