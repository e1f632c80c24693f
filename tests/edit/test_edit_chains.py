"""Edits over edits: a chain is what wearing one over the other is, and promises what its weakest link does."""

from collections.abc import Iterator
from dataclasses import replace

import changes
import pytest
import torch
from parrot import Parrot
from torch import Tensor

import worlds
from unteach import registry
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import Put
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
