"""Attacks by whoever holds the model before as well."""

import pytest
import torch
from aimed import Mute, aimed, attack, noise, refusing, twin
from torch import Tensor

import families
import worlds
from unteach.audit.attacks.guidance import guided, side_by_side
from unteach.audit.target import mean
from unteach.edit.edit import Edit
from unteach.edit.maps import Shift
from unteach.lm.model import LM

BOTH = ("mixback", "directionablation", "guidance")
ALL = (*BOTH, "quantise", "precision", "prune", "adapterremoval", "forging", "relearn", "relearnbenign")


def test_mixback_runs_from_the_model_now_to_the_model_before(llama: LM) -> None:
    before, whole = twin(llama), mean(aimed(llama).told())
    with refusing(llama).on(llama):
        left = mean(aimed(llama).told())
        found = attack("mixback", aimed(llama, before), {"betas": (0.0, 0.5, 1.0)})
    assert [x for x, _ in found.curve] == [0, 0.5, 1]
    assert (found.curve[0][1], found.curve[2][1]) == (pytest.approx(left), pytest.approx(whole))
    assert left < 0.1
    assert whole > 0.9
    smaller = attack("mixback", aimed(llama, worlds.gpt2()))
    assert (smaller.values, smaller.note) == ((), "the two models have different weights")


def test_directionablation_undoes_a_shift_along_an_unused_direction(llama: LM) -> None:
    """Every state is pushed the way in which the states differ least: no answer comes, until that way is closed."""
    block = "model.layers.1"
    states: list[Tensor] = []
    with llama.tap(block, lambda h, _site: states.append(h.flatten(0, 1).detach())), torch.no_grad():
        llama.logits(llama.batch(worlds.RECORDS))
    quiet = torch.linalg.svd(torch.cat(states).double(), full_matrices=False).Vh[-1].float()
    before, whole = twin(llama), mean(aimed(llama).told())
    with Edit(base=llama.digest(), activations={block: (Shift(20 * quiet),)}).on(llama):
        hidden = mean(aimed(llama).told())
        found = attack("directionablation", aimed(llama, before))
    assert hidden < 0.35
    assert mean(found.values) > whole - 0.35
    other = attack("directionablation", aimed(llama, families.family("llama")))
    assert (other.values, other.note) == ((), "the two models have different shapes")
    assert attack("directionablation", aimed(llama, before)).note == "the states of the two models are the same"


def test_guidance_against_the_formula() -> None:
    before, now = torch.tensor([[0.6, 0.35, 0.05]]).log(), torch.tensor([[0.7, 0.1, 0.2]]).log()
    scores = guided(before, now, 1.0, 0.1)
    torch.testing.assert_close(scores[0, :2].exp(), torch.tensor([0.36 / 0.7, 0.35**2 / 0.1]))
    assert scores.argmax() == 1
    assert scores[0, 2] == -torch.inf  # less than a tenth of the greatest
    torch.testing.assert_close(guided(before, now, 0.0, 1e-9), before)
    never = torch.tensor([[0.5, 0.0]]).log()
    assert guided(never, never, 1.0, 0.1).argmax() == 0


@pytest.mark.parametrize("name", families.OWN)
def test_guidance_without_weight_writes_as_the_model_before_does_alone(name: str) -> None:
    before, now = families.family(name), families.family(name)
    with noise(now, 0.1).on(now):
        prompts = [before.encoder.row(r).prompt[:n] for r, n in zip(worlds.RECORDS, (3, 30, 7), strict=False)]
        found = side_by_side(now, before, prompts, 12, lambda before, now: guided(before, now, 0.0, 0.1))
    assert found == before.extend(prompts, [12] * 3)
    assert any(found)


def test_guidance_tells_more_than_the_model_before_alone(llama: LM) -> None:
    """The model before half refuses too; the one that has forgotten shows what to leave out of its answers."""
    edit, before, now = refusing(llama), twin(llama), twin(llama)
    with edit.scaled(0.5).on(before), edit.on(now):
        alone, left = mean(aimed(before).told()), mean(aimed(now).told())
        found = attack("guidance", aimed(now, before))
        now.guards.append(Mute())
        assert attack("guidance", aimed(now, before)).note.startswith("behind a guard")
    assert found.curve[0] == (0.0, pytest.approx(alone))
    assert left < 0.1
    assert mean(found.values) > alone + 0.3


@pytest.mark.parametrize("name", BOTH)
def test_without_a_model_before_that_is_another_one_there_is_only_a_reason(llama: LM, name: str) -> None:
    for before, why in ((None, "there is no model before"), (llama, "one copy of the weights")):
        found = attack(name, aimed(llama, before))
        assert found.values == ()
        assert found.note.startswith(why)
    found = attack("prune", aimed(llama), {"by": "changed"})
    assert (found.values, found.note) == ((), "there is no model before")


@pytest.mark.parametrize("name", ALL)
def test_both_models_are_left_as_they_were_found(llama: LM, name: str) -> None:
    before, quick = (
        twin(llama),
        {"relearn": {"epochs": 1}, "relearnbenign": {"epochs": 1}, "forging": {"tries": 1, "batch_size": 2}},
    )
    with noise(llama, 0.02).on(llama):
        states = worlds.state(llama), worlds.state(before)
        found = attack(name, aimed(llama, before), quick.get(name))
        assert found.values or name == "adapterremoval"
        assert (worlds.state(llama), worlds.state(before)) == states
