"""Forgetting with relearning practised inside: what it withstands, and what its gradient is."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import worlds
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import through
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.measure.answers import ask, probability
from unteach.methods.finetune.finetune import Finetune
from unteach.methods.finetune.objectives import NLL
from unteach.methods.finetune.tamperresistance import TamperResistance, attacked, brought_back
from unteach.schema import InputError, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
LONG = Plan(tune="full", epochs=28, lr=3e-3, batch_size=4, accumulate=1, measure_every=28)
FEW = replace(LONG, epochs=3, lr=1e-3, batch_size=2)
ATTACK = replace(LONG, epochs=8, lr=1e-3, warmup_epochs=0, decay="constant")
WEIGHT = 4.0


def known(lm: LM) -> float:
    return sum(probability(a) or 0 for a in ask(lm, worlds.FORGET)) / len(worlds.FORGET)


def relearnt(lm: LM, edit: Edit) -> tuple[float, float]:
    """How well the rows to forget are known, and how well after some training on them."""
    with edit.on(lm):
        before = known(lm)
        with learn(lm, worlds.FORGET, ATTACK).on(lm):
            return before, known(lm)


def same(lm: LM, one: Edit, two: Edit) -> bool:
    weights = lm.parameters()
    values = ([through(e.weights[n], weights[n].detach()) for n in weights] for e in (one, two))
    return all(torch.equal(a, b) for a, b in zip(*values, strict=True))


def says(lm: LM, edit: Edit) -> Tensor:
    """Log-probabilities: weights that never count, such as the biases of keys, go by rounding alone."""
    with edit.on(lm), torch.no_grad():
        return lm.run(lm.batch(worlds.RECORDS)).token_logps


def test_less_comes_back_than_after_the_same_forgetting_without_the_inner_loop(llama: LM) -> None:
    """The same number of steps, and as strong a push to forget: what differs is where the gradient is taken."""
    withstands = TamperResistance("simnpo", inner=4, inner_lr=1e-3, tampered_weight=WEIGHT, plan=LONG)
    plain = TamperResistance("simnpo", inner=0, forget_weight=0.125 + WEIGHT, plan=LONG)
    (gone, back), (gone_too, back_too) = (relearnt(llama, m(llama, REQUEST)) for m in (withstands, plain))
    assert max(gone, gone_too) < 0.1
    assert abs(gone - gone_too) < 0.02
    assert back < 0.7 * back_too
    assert back_too > 0.5


def test_without_inner_steps_it_is_plain_training_bit_for_bit(lm: LM) -> None:
    for term in ("nll", "kl"):
        one = TamperResistance("npo", term, {"beta": 0.5}, inner=0, plan=FEW)(lm, REQUEST)  # type: ignore[arg-type]
        two = Finetune("npo", {"beta": 0.5}, term, plan=FEW)(lm, REQUEST)
        assert same(lm, one, two)
        assert one.history == two.history


def test_an_attack_that_goes_nowhere_is_more_of_the_forget_term(lm: LM) -> None:
    before = worlds.state(lm)
    still = TamperResistance("npo", inner=2, inner_lr=1e-12, tampered_weight=3.0, plan=FEW)(lm, REQUEST)
    plain = says(lm, Finetune("npo", forget_weight=4.0, plan=FEW)(lm, REQUEST))
    torch.testing.assert_close(says(lm, still), plain, rtol=0, atol=1e-2)
    moved = TamperResistance("npo", inner=2, inner_lr=1e-2, tampered_weight=3.0, plan=FEW)(lm, REQUEST)
    assert (says(lm, moved) - plain).abs().max() > 0.1
    assert worlds.state(lm) == before


def test_the_attack_raises_what_is_to_be_forgotten_and_leaves_the_weights(lm: LM) -> None:
    """Step by step what AdamW does to a copy of the model."""
    other = worlds.taught(worlds.gpt2() if lm.model.config.model_type == "gpt2" else worlds.llama())
    batches = [worlds.FORGET[:2], worlds.FORGET[2:], worlds.FORGET[1:3]]
    before, weights = worlds.state(lm), dict(lm.parameters())
    values = attacked(lm, weights, batches, 1e-3)
    assert worlds.state(lm) == before
    optimiser = torch.optim.AdamW(other.model.parameters(), lr=1e-3, weight_decay=0.0)
    for rows in batches:
        optimiser.zero_grad()
        view = View(other.run(other.batch(rows)), slice(0, len(rows)))
        NLL()(view, view).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    rows = lm.batch(worlds.RECORDS)
    with torch.no_grad():
        found, stepped = lm.run(rows, values).token_logps, other.run(rows).token_logps
        torch.testing.assert_close(found, stepped, rtol=0, atol=1e-2)
        assert (found - lm.run(rows).token_logps).abs().max() > 0.1


def test_the_gradient_is_the_one_at_the_attacked_weights() -> None:
    """Of |v|^2 it is 2 v, whatever w is; a weight that the loss never reads has none."""
    draw = torch.Generator().manual_seed(0)
    w, v = ({n: torch.randn(3, generator=draw).double().requires_grad_() for n in "ab"} for _ in range(2))
    loss = brought_back(v["a"].square().sum(), w, v)
    assert loss == v["a"].square().sum()
    found = torch.autograd.grad(loss, list(w.values()))
    assert torch.equal(found[0], 2 * v["a"])
    assert not found[1].any()


def test_what_cannot_be_is_refused(llama: LM) -> None:
    for wrong in ({"inner": -1}, {"inner_lr": 0.0}):
        with pytest.raises(InputError, match="'inner' and 'inner_lr' of tamperresistance"):
            TamperResistance(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'idk' learns other answers"):
        TamperResistance("idk")
    with pytest.raises(InputError, match="retain"):
        TamperResistance()(llama, Request(forget=worlds.FORGET))
