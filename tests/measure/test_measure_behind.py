"""Rows as they are asked behind guards that only put the question otherwise."""

from dataclasses import replace

import numpy as np

import worlds
from unteach.edit.edit import Edit
from unteach.lm.guard import Guard, Session, Streaming, Turns
from unteach.lm.model import LM
from unteach.measure.answers import ask
from unteach.measure.behind import behind
from unteach.methods.conversation.decoding import Decoding
from unteach.methods.conversation.icul import ICUL
from unteach.methods.conversation.justask import JustAsk
from unteach.methods.conversation.selfdebiasreprompt import SelfDebiasReprompt
from unteach.schema import Message, Request

LABELLED = tuple(replace(r, label=i) for i, r in enumerate(worlds.RECORDS))
FITTED = ICUL(examples=1).fitted(Request(forget=LABELLED[:4], retain=LABELLED[4:]), None)


class Closed(Guard, Session):
    observable = False

    def session(self) -> "Closed":
        return self

    def ask(self, turns: Turns) -> Turns | str:
        return "Closed." if "Orvena" in turns[-1].content else turns


class Loud(Guard, Streaming):
    observable = False

    def session(self) -> "Loud":
        return self

    def feed(self, piece: str) -> str:
        return piece.upper()


def test_a_model_says_of_rewritten_rows_what_it_says_behind_the_guard(lm: LM) -> None:
    rows = behind([FITTED], LABELLED)
    assert [r and (r.id, r.answer) for r in rows] == [(r.id, r.answer) for r in LABELLED]
    assert all(r and r.prompt.endswith(f"\n{own.prompt}") for r, own in zip(rows, LABELLED, strict=True))
    found = [r for r in rows if r is not None]
    plain = lm.generate(found, 24)
    with Edit(base=lm.digest(), guards=(FITTED,)).on(lm):
        assert lm.generate(list(LABELLED), 24) == plain
    before, after = ask(lm, LABELLED), ask(lm, found)
    assert not any(np.array_equal(a.logps, b.logps) for a, b in zip(before, after, strict=True))
    for row, text, answer in zip(found, plain, after, strict=True):
        assert (text.strip() == row.answer) == bool(answer.words.hit.all())


def test_several_guards_and_turns_are_put_together_as_the_model_meets_them() -> None:
    turns = (Message("system", "Be brief."), Message("user", worlds.RECORDS[0].prompt))
    told = JustAsk(names=("Orvena",))
    (row,) = behind([FITTED, told], [replace(LABELLED[0], messages=turns)])
    assert row is not None
    assert row.messages == FITTED.ask(told.ask(turns))
    assert row.prompt == row.messages[-1].content
    assert behind([], LABELLED) == list(LABELLED)


def test_where_more_is_done_than_asking_otherwise_there_is_nothing_to_read() -> None:
    for guard in (Decoding(temperature=1.0), SelfDebiasReprompt(), Loud()):
        assert behind([FITTED, guard], LABELLED) == [None] * len(LABELLED)
    rows = behind([Closed()], LABELLED)
    assert rows == [None, *LABELLED[1:]]
