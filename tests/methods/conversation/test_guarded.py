"""Chains of guards, made for a request."""

from dataclasses import fields

import pytest

import worlds
from unteach.assemble import make_method
from unteach.lm.guard import Conversation
from unteach.lm.model import LM
from unteach.methods.conversation.guarded import Guarded, about, fitted, settings_of, unfitted
from unteach.registry import find, name_of
from unteach.schema import InputError, Message, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)


def test_a_chain_of_guards_is_worn_in_the_order_in_which_a_question_meets_them(llama: LM) -> None:
    edit = Guarded(guards="gate + justask+filter")(llama, REQUEST)
    assert [name_of(g) for g in edit.guards] == ["filter", "justask", "gate"]
    assert edit.guarantee.kind == "suppression"
    asked = Conversation(edit.guards, (Message("user", "What is the sea?"),))
    assert [(d.guard, d.stage) for d in asked.decisions] == [(g, "question") for g in ("gate", "justask", "filter")]
    refused = Conversation(edit.guards, (Message("user", worlds.FORGET[0].prompt),))
    assert [(d.guard, d.action) for d in refused.decisions] == [("gate", "answered")]  # nobody behind it is asked
    assert refused.turns is None
    before = llama.generate(worlds.RETAIN, 16)
    with edit.on(llama):
        assert llama.generate(worlds.FORGET, 16) == [refused.said] * 4
    assert llama.generate(worlds.RETAIN, 16) == before


def test_a_guards_name_stands_for_the_method_and_options_find_their_guards(llama: LM) -> None:
    by_name = make_method("gate", {"by": "near"})
    assert by_name == Guarded(guards="gate", options={"by": "near"})
    chain = make_method("ngramblock+gate", {"n": "3", "by": "near"})
    (gate, block) = chain(llama, REQUEST).guards
    assert (gate.by, block.n) == ("near", 3)  # type: ignore[attr-defined]
    assert make_method("guarded", {"guards": "gate", "by": "near"}) == by_name
    with pytest.raises(InputError, match="no option 'nearer'"):
        make_method("gate", {"nearer": 1})
    with pytest.raises(InputError, match="none of the guards 'gate' has an option 'n'"):
        Guarded(guards="gate", options={"n": 3})
    with pytest.raises(InputError, match="gate needs records to forget"):
        fitted(unfitted("gate", {}), Request(retain=worlds.RETAIN), None)


def test_what_a_guard_keeps_is_no_setting_and_is_never_told() -> None:
    (guard,) = fitted(unfitted("gate", {}), REQUEST, None)
    kept = {f.name for f in fields(find("guard", "gate"))} - set(settings_of(find("guard", "gate")))
    assert kept
    assert any(getattr(guard, name) for name in kept)
    assert about(guard).startswith("gate(")
    assert not any(town in about(guard) for town in worlds.TOWNS)
    with pytest.raises(InputError, match="none of the guards"):
        Guarded(guards="gate", options={kept.pop(): ()})
