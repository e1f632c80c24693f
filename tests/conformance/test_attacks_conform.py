"""Every registered attack: what it returns, and that the model is left as it was found."""

import ast
import copy
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from subjects import REQUEST

import worlds
from unteach.audit.target import Attack, Attempt, Target
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.registry import Entry, build, entries
from unteach.schema import Message

ATTACKS = [e for e in entries("attack") if e.module.startswith("unteach.")]
ROWS = tuple(
    replace(r, subject=f"town {n}", paraphrases=(f"Tell me: {r.prompt}",), perturbed=("A clock.", "Nothing at all."))
    for n, r in enumerate(worlds.FORGET)
)
HOLDS = {"questions", "weights", "both models"}
TOLD_BY_ITS_NAME = {"told", "tokens", "accuracy", "right option named", "distance", "subject named"}
pytestmark = pytest.mark.parametrize("entry", ATTACKS, ids=lambda e: e.name)


@cache
def refusing(family: str, model: LM) -> LM:
    """A copy that was taught to refuse; `model` is the one before."""
    copied = LM(copy.deepcopy(model.model), model.tokenizer, template=model.template, source=family)
    refusals = [replace(r, answer="No idea.") for r in worlds.FORGET]
    plan = Plan(tune="full", lr=1e-3, epochs=6, batch_size=4, accumulate=1, warmup_epochs=0)
    edit = learn(copied, refusals, plan)
    for name, value in copied.parameters().items():
        if name in edit.weights:
            value.data = edit.weights[name][0](value.data)
    return copied


def target_of(lm: LM, **others: object) -> Target:
    @contextmanager
    def before():
        yield lm

    given = {"retain": worlds.RETAIN, "holdout": REQUEST.holdout, "before": before, "max_new": 12} | others
    return Target(refusing(str(id(lm)), lm), ROWS, **given)


def made(entry: Entry, target: Target) -> Attempt:
    attack: Attack = build("attack", entry.name, {})
    return attack(target)


@cache
def once(entry: Entry, model: LM) -> tuple[Attempt, bool]:
    """The attack made once, and whether both models stand as they stood."""
    target = target_of(model)
    before = worlds.state(target.lm), worlds.state(model)
    found = made(entry, target)
    return found, (worlds.state(target.lm), worlds.state(model)) == before


def test_an_attempt_has_a_value_for_each_row_or_a_reason(entry: Entry, llama: LM) -> None:
    found, _ = once(entry, llama)
    assert found.note
    if not found.values:
        return
    assert len(found.values) == len(ROWS)
    known = [v for v in found.values if v is not None]
    assert all(0 <= v <= (1 if entry.name != "forging" else 9) for v in known)
    assert all(len(point) == 2 for point in found.curve)
    assert [x for x, _ in found.curve] == sorted({x for x, _ in found.curve})
    assert not any(r.answer in found.note or r.prompt in found.note for r in ROWS)


def test_both_models_are_left_as_they_were(entry: Entry, lm: LM) -> None:
    _, untouched = once(entry, lm)
    assert untouched


def test_the_same_attack_finds_the_same(entry: Entry, llama: LM) -> None:
    first, _ = once(entry, llama)
    assert made(entry, target_of(llama)) == first


def test_it_needs_no_more_than_the_rows_and_says_what_is_missing(entry: Entry, llama: LM) -> None:
    bare = replace(target_of(llama), forget=worlds.FORGET[:1], retain=(), holdout=(), before=None)
    found = made(entry, bare)
    assert found.note
    assert len(found.values) in (0, 1)


def test_a_conversation_can_be_attacked(entry: Entry, llama: LM) -> None:
    talks = [
        replace(r, messages=(Message("user", "Hello."), Message("assistant", "Hello."), Message("user", r.prompt)))
        for r in ROWS
    ]
    found = made(entry, replace(target_of(llama), forget=talks))
    assert len(found.values) in (0, len(talks))


def test_it_says_what_it_is(entry: Entry) -> None:
    attack = build("attack", entry.name, {})
    assert attack.holds in HOLDS
    assert attack.measure in TOLD_BY_ITS_NAME
    assert entry.summary.endswith("?"), "a threat is a question"
    assert entry.paper or entry.name in {"mixback", "adapterremoval", "precision", "prune"}
    tests = {
        node.name
        for path in (Path(__file__).parents[1] / "audit" / "attacks").glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert entry.tested_by in tests
