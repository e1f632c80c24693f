"""What every guard must hold to; nothing here names one of them."""

import ast
import json
import re
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from subjects import LABELLED, REQUEST

import worlds
from unteach.edit import store
from unteach.edit.edit import Edit
from unteach.lm.guard import Conversation, streams
from unteach.lm.model import LM
from unteach.methods.conversation.guarded import ROLES, about, fitted, settings_of
from unteach.registry import Entry, build, entries, find
from unteach.schema import InputError, Message, Request

GUARDS = entries("guard")
MADE = [e for e in GUARDS if hasattr(find("guard", e.name), "fitted")]  # the others are made by methods of their own
KEEPING = [e for e in MADE if set(e.needs) & {"forget", "facts"}]
QUESTIONS = tuple((Message("user", r.prompt),) for r in worlds.RECORDS)
SECRETS = [text for r in (*worlds.RECORDS, *LABELLED.forget) for text in (r.prompt, r.answer)]


def request_of(entry: Entry) -> Request:
    return LABELLED if "labels" in entry.needs else REQUEST


def made(entry: Entry, lm: LM, tmp: Any) -> Any:
    """A guard fitted to rows; what wants a folder of its own is given one."""
    cls = find("guard", entry.name)
    folders = {f.name: str(tmp / f.name) for f in fields(cls) if f.name in ("assistant", "store")}
    if "store" in folders:
        pytest.skip("a store is made before there is a guard for it; see its own tests")
    quick = {f.name: v for f in fields(cls) for name, v in (("epochs", 1), ("blocks", 1)) if f.name == name}
    (guard,) = fitted((build("guard", entry.name, {**folders, **quick}),), request_of(entry), lm)
    return guard


@pytest.mark.parametrize("entry", GUARDS, ids=lambda e: e.name)
def test_it_is_documented_tested_and_suppression(entry: Entry) -> None:
    assert entry.guarantee == "suppression"
    assert entry.tested_by
    assert entry.paper or "Reference:" in entry.doc


@pytest.mark.parametrize("entry", MADE, ids=lambda e: e.name)
def test_its_docstring_says_what_it_needs_and_what_it_does_not_guarantee(entry: Entry) -> None:
    cls = find("guard", entry.name)
    assert "What is not guaranteed" in entry.doc
    assert all(need in entry.doc for need in entry.needs)
    assert not re.search(r"\b(erases?|erased|removes? what|deletes? what)\b", entry.summary)
    example = re.search(r"Example: ``(.+?)``", entry.doc, re.DOTALL)
    assert example
    call = ast.parse(example[1], mode="eval").body
    while isinstance(call, ast.Call) and not (isinstance(call.func, ast.Name) and call.func.id == cls.__name__):
        assert isinstance(call.func, ast.Attribute)
        call = call.func.value
    assert isinstance(eval(ast.unparse(call), {cls.__name__: cls}), cls)


@pytest.mark.parametrize("entry", KEEPING, ids=lambda e: e.name)
def test_one_that_keeps_nothing_is_the_model_bit_for_bit(llama: LM, entry: Entry) -> None:
    guard = build("guard", entry.name, {})
    prompts = [r.prompt for r in worlds.RECORDS[2:6]]
    plain = llama.generate(prompts, 16)
    with Edit(base=llama.digest(), guards=(guard,)).on(llama):
        assert llama.generate(prompts, 16) == plain
    for turns in QUESTIONS:
        assert guard.session().ask(turns) is turns


@pytest.mark.parametrize("entry", MADE, ids=lambda e: e.name)
def test_it_leaves_the_model_survives_the_disk_and_says_the_same_again(llama: LM, entry: Entry, tmp_path: Any) -> None:
    before = llama.digest(), list(llama.guards), llama.generate(worlds.RECORDS[3:5], 8)
    guard = made(entry, llama, tmp_path)
    edit = Edit(base=llama.digest(), guards=(guard,), made_by=about(guard))
    store.save(edit, tmp_path / "edit")
    read = store.load(tmp_path / "edit")
    assert read.digest() == edit.digest()
    assert read.guarantee.kind == "suppression"
    said = []
    for worn in (edit, read):
        with worn.on(llama):
            said.append(llama.generate(worlds.RECORDS[3:5], 8))
    assert said[0] == said[1]
    assert (llama.digest(), list(llama.guards), llama.generate(worlds.RECORDS[3:5], 8)) == before


@pytest.mark.parametrize("entry", MADE, ids=lambda e: e.name)
def test_its_settings_hold_nothing_of_a_record(llama: LM, entry: Entry, tmp_path: Any) -> None:
    guard = made(entry, llama, tmp_path)
    shown = f"{guard!r} {about(guard)} {json.dumps([str(getattr(guard, s)) for s in settings_of(type(guard))])}"
    assert not any(text in shown for text in SECRETS)
    assert not any(f" {town}" in shown for town in worlds.TOWNS)


@pytest.mark.parametrize("entry", MADE, ids=lambda e: e.name)
def test_what_is_missing_is_refused_by_name(llama: LM, entry: Entry) -> None:
    guard, whole = build("guard", entry.name, {}), request_of(entry)
    for need in (role for role in ROLES if role in entry.needs):
        with pytest.raises(InputError, match=need) as refused:
            fitted((guard,), replace(whole, **{need: ()}), llama)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("entry", MADE, ids=lambda e: e.name)
def test_a_reply_in_pieces_is_the_reply_whole(llama: LM, entry: Entry, tmp_path: Any) -> None:
    guard = made(entry, llama, tmp_path)
    if not streams(guard.session()):
        assert callable(guard.session().reply)
        return

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(st.sampled_from([*(r.answer for r in worlds.RECORDS), "Yes. ", "a", " har", "bour of"]), max_size=6)
    )
    def same(pieces: list[str]) -> None:
        heard = []
        for parts in (pieces, ["".join(pieces)], list("".join(pieces))):
            talk = Conversation((guard,), (Message("user", "And the sea?"),))
            for part in parts:
                if talk.turns is not None:
                    talk.hear(part)
            talk.hear(None)
            heard.append(talk.said)
        assert heard[0] == heard[1] == heard[2]

    same()
