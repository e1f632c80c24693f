"""Edits over edits: a chain is what wearing one over the other is, and promises what its weakest link does."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import reduce
from pathlib import Path

import changes
import pytest
import torch
from parrot import Parrot
from torch import Tensor

import worlds
from unteach import registry
from unteach.edit import store
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import Add, AddOuter, Put, Scale, visible
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.schema import STRENGTH, Guarantee, InputError

PROMPTS = [r.prompt for r in worlds.RECORDS[:3]]


@pytest.fixture(autouse=True)
def _parrot() -> Iterator[None]:
    registry.register("guard", "parrot")(Parrot)
    yield
    del registry._LIVE["guard", "parrot"]


def acts(lm: LM) -> tuple[Tensor, list[str]]:
    with torch.no_grad():
        return lm.logits(lm.batch(worlds.RECORDS[:4])), lm.generate(PROMPTS, 6)


def three(lm: LM) -> tuple[Edit, Edit, Edit]:
    """Each made while the ones before it are worn."""
    first = changes.on_weights(lm, 1)
    with first.on(lm):
        second = replace(changes.on_activations(lm, 2), guards=(Parrot("a", "Sella"),))
        with second.on(lm):
            third = changes.on_weights(lm, 30)
    return first, second, third


def test_a_chain_is_what_wearing_one_over_the_other_is(lm: LM) -> None:
    first, second, third = three(lm)
    with first.on(lm), second.on(lm), third.on(lm):
        nested, digest = acts(lm), lm.digest()
    for chain in (first.then(second).then(third), first.then(second.then(third))):
        assert chain.worn_digest == digest
        with chain.on(lm):
            assert lm.digest() == digest
            composed = acts(lm)
        torch.testing.assert_close(composed[0], nested[0], rtol=1e-4, atol=1e-4)
        assert composed[1] == nested[1]
        assert chain.made_by == "drawn from 1 + maps + drawn from 30"


def test_a_low_rank_term_stays_over_a_weight_that_was_put_under_it(lm: LM) -> None:
    """What a full training under a worn LoRA returns is the weight below the term, not the sum."""
    first = changes.low_rank(lm)
    name = changes.places(lm)[0]
    with first.on(lm):
        second = Edit(lm.digest(), {name: (Put(changes.drawn(*lm.parameters()[name].shape, seed=5)),)})
        with second.on(lm):
            nested = acts(lm)
    with first.then(second).on(lm):
        composed = acts(lm)
    torch.testing.assert_close(composed[0], nested[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tune", ["full", "lora", "1"])
@pytest.mark.parametrize("under", ["full", "lora"])
def test_trainings_one_after_the_other(lm: LM, under: str, tune: str) -> None:
    plan = Plan(tune=under, rank=2, lora_alpha=4, epochs=2, lr=1e-3, batch_size=4, accumulate=1)
    before = worlds.state(lm)
    first = learn(lm, worlds.FORGET, plan)
    with first.on(lm):
        second = learn(lm, worlds.RETAIN, replace(plan, tune=tune))
        with second.on(lm):
            nested = acts(lm)
    assert worlds.state(lm) == before
    with first.then(second).on(lm):
        composed = acts(lm)
    torch.testing.assert_close(composed[0], nested[0], rtol=1e-4, atol=1e-4)
    assert composed[1] == nested[1]


def puts_in_turn(lm: LM, count: int) -> list[Edit]:
    """Edits that put every weight of one linear map anew, each over those before it, over a term of low rank."""
    name, edits = changes.places(lm)[0], [changes.low_rank(lm)]
    shape = lm.parameters()[name].shape
    with ExitStack() as worn:
        for seed in range(count):
            worn.enter_context(edits[-1].on(lm))
            chain = (
                Scale(torch.tensor(0.5)),
                Put(changes.drawn(*shape, seed=seed)),
                Add(changes.drawn(*shape, seed=9)),
            )
            edits.append(Edit(lm.digest(), {name: chain}, made_by=f"put {seed}"))
    return edits


def test_what_a_later_put_hides_is_dropped(lm: LM) -> None:
    """The last value and what lies over it stay; model, name of the worn model and what is saved are as they were."""
    name, edits = changes.places(lm)[0], puts_in_turn(lm, 3)
    with ExitStack() as worn:
        for edit in edits:
            worn.enter_context(edit.on(lm))
        nested, digest = acts(lm), lm.digest()
    one, other = reduce(Edit.then, edits), edits[0].then(edits[1].then(edits[2].then(edits[3])))
    assert [type(patch) for patch in one.weights[name]] == [Put, Add, AddOuter]
    assert one.weights[name][0] is edits[-1].weights[name][1]
    assert one.links == tuple(e.digest() for e in edits)
    assert one.digest() == other.digest()
    with one.on(lm):
        assert lm.digest() == digest == one.worn_digest
        composed = acts(lm)
    torch.testing.assert_close(composed[0], nested[0], rtol=1e-5, atol=1e-5)
    assert composed[1] == nested[1]


def test_a_chain_that_was_saved_with_what_a_put_hides_is_read_as_it_is(lm: LM, tmp_path: Path) -> None:
    """Nothing is taken from an edit that is made or read: its digest is of all that it holds."""
    _, first, second = puts_in_turn(lm, 2)
    name = changes.places(lm)[0]
    whole = replace(
        first, base=lm.digest(), weights={name: first.weights[name] + second.weights[name]}, links=("a", "b")
    )
    store.save(whole, tmp_path)
    read = store.load(tmp_path)
    assert (read.digest(), read.worn_digest, len(read.weights[name])) == (whole.digest(), whole.worn_digest, 6)
    lean = replace(whole, weights={name: visible(whole.weights[name])})
    assert lean.digest() != whole.digest()
    assert lean.worn_digest == whole.worn_digest
    assert torch.equal(lean.delta(lm)[name], whole.delta(lm)[name])
    with lean.on(lm):
        worn = acts(lm)
    with read.on(lm):
        again = acts(lm)
    assert torch.equal(again[0], worn[0])
    assert again[1] == worn[1]


def test_an_edit_made_elsewhere_is_not_chained(lm: LM) -> None:
    first, second, third = three(lm)
    for wrong in (third, first, replace(second, base=first.base)):
        with pytest.raises(InputError, match="the second edit was not made on the model that wears the first"):
            first.then(wrong)


def test_guards_are_in_force_and_come_off(lm: LM) -> None:
    edit = Edit(lm.digest(), guards=(Parrot("Orvena", "Quillmar"),))
    plain, before = lm.generate(PROMPTS, 24), worlds.state(lm)
    with edit.on(lm):
        assert lm.guards == [Parrot("Orvena", "Quillmar")]
        assert lm.generate(PROMPTS, 24) == [f"{plain[i]} Squawk." for i in (1, 1, 2)]
    with pytest.raises(ZeroDivisionError), edit.on(lm):
        raise ZeroDivisionError
    assert worlds.state(lm) == before
    assert lm.generate(PROMPTS, 24) == plain
    assert edit.guarantee.kind == "suppression"


def test_a_chain_promises_what_its_weakest_link_does(lm: LM) -> None:
    first, second, _ = three(lm)
    for kind in STRENGTH:
        for other in STRENGTH:
            one, two = (replace(e, guarantee=Guarantee(k)) for e, k in ((first, kind), (changes.low_rank(lm), other)))
            with one.on(lm):
                two = replace(two, base=lm.digest())
            assert one.then(two).guarantee.kind == max(kind, other, key=STRENGTH.index)
    assert first.then(second).guarantee.kind == "suppression"


def test_the_digest_covers_everything_but_the_history(lm: LM) -> None:
    edit = replace(changes.on_weights(lm), activations=changes.on_activations(lm).activations)
    weights, maps = dict(edit.weights), dict(edit.activations)
    name, path = changes.places(lm)[1], next(iter(maps))
    others = [
        replace(edit, base="0"),
        replace(edit, made_by="x"),
        replace(edit, guards=(Parrot("a", "b"),)),
        replace(edit, guards=(Parrot("a", "c"),)),
        replace(edit, guarantee=Guarantee("exact")),
        replace(edit, links=("a", "b")),
        replace(edit, weights={**weights, name: weights[name][::-1]}),
        replace(edit, weights={**weights, name: weights[name][:-1]}),
        replace(edit, weights={**weights, name: (Put(torch.zeros(1)),)}),
        replace(edit, activations={path: maps[path]}),
        replace(edit, weights=changes.on_weights(lm).scaled(0.5).weights),
    ]
    assert len({edit.digest(), *(o.digest() for o in others)}) == 1 + len(others)
    assert replace(edit, history=({"step": 1.0},)).digest() == edit.digest()
    assert replace(changes.on_weights(lm), activations=changes.on_activations(lm).activations).digest() == edit.digest()
