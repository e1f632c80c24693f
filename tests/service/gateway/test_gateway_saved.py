"""A policy whose guards come from an edit that was saved."""

from dataclasses import replace
from pathlib import Path

import pytest

import worlds
from unteach.edit import store
from unteach.edit.edit import Edit
from unteach.edit.patches import Add
from unteach.lm.model import LM
from unteach.methods.conversation.guarded import Guarded
from unteach.schema import InputError, Request
from unteach.service.gateway.config import Rule
from unteach.service.gateway.policies import made


def test_a_policy_wears_the_guards_of_a_saved_edit_and_refuses_any_other(llama: LM, tmp_path: Path) -> None:
    edit = Guarded(guards="gate+filter")(llama, Request(forget=worlds.FORGET, retain=worlds.RETAIN))
    name, weight = next(iter(llama.parameters().items()))
    changed = replace(edit, weights={name: (Add(weight.detach() * 0),)})
    for folder, saved in (("guards", edit), ("changed", changed), ("bare", Edit(base=llama.digest()))):
        store.save(saved, tmp_path / folder)
    found = made("towns", Rule(edit="guards", action="edit"), tmp_path, None, weighs=False)
    assert found.guards == edit.guards
    assert found.worn
    for folder, sentence in (
        ("changed", "also changes the model"),
        ("bare", "has no guards"),
        ("gone", "edit was saved"),
    ):
        with pytest.raises(InputError, match=sentence):
            made("towns", Rule(edit=folder), tmp_path, None, weighs=False)


def test_guards_that_weigh_logits_want_the_weights_and_cannot_only_watch(llama: LM, tmp_path: Path) -> None:
    drawing = Rule(guards="decoding", options={"temperature": 1.0}, forget="forget.jsonl")
    (tmp_path / "forget.jsonl").write_text('{"question": "Who?", "answer": "Nobody."}\n')
    assert made("draws", drawing, tmp_path, llama, weighs=True).worn
    with pytest.raises(InputError, match="'decoding' reads or changes logits, which an upstream does not show"):
        made("draws", drawing, tmp_path, None, weighs=False)
    with pytest.raises(InputError, match="cannot only monitor"):
        made("draws", drawing.model_copy(update={"action": "monitor"}), tmp_path, llama, weighs=True)
