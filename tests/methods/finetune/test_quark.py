"""Answers sorted by reward: quantiles, words before a question, a reward that rises."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_logits import Table, assert_both

import worlds
from unteach.edit.plan import Plan
from unteach.edit.trainable import trainable
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.methods.finetune.quark import Quark, Rated, Unasked, quark
from unteach.methods.finetune.samples import drawn, quantiles, unlike
from unteach.schema import InputError, Record, Request

REQUEST = Request(forget=worlds.FORGET)
PLAN = Plan(tune="full", epochs=40, lr=2e-3, batch_size=8, accumulate=1, measure_every=40)


def brief(_record: Record, answer: str) -> float:
    """A toy reward: the fewer letters the better."""
    return -float(len(answer))


def mean(lm: LM, asked: tuple[Record, ...]) -> float:
    given = drawn(lm, asked, 8, 20, 1.0, seed=9)
    return float(np.mean([brief(r, text) for r, texts in zip(asked, given, strict=True) for text in texts]))


@pytest.mark.parametrize("best", ["unspoken", "spoken"])
def test_quark_raises_a_toy_reward(llama: LM, best: str) -> None:
    method = Quark(rounds=1, samples=12, best=best, plan=PLAN)  # type: ignore[arg-type]
    before = worlds.state(llama)
    was = mean(llama, worlds.FORGET)
    edit = method.steered(llama, REQUEST, brief)
    with edit.on(llama):
        asked = tuple(method._rated(r, 0) for r in worlds.FORGET)
        assert mean(llama, asked) > 0.9 * was
    assert worlds.state(llama) == before
    assert edit.guards == ((Rated("[1]"),) if best == "spoken" else ())
    assert edit.guarantee.kind == ("suppression" if best == "spoken" else "empirical")


def test_quark_puts_the_best_word_before_a_question(llama: LM) -> None:
    prompts: list[str | Record] = [r.prompt for r in worlds.FORGET]
    wanted = llama.generate([f"[1] {p}" for p in prompts], 8)
    llama.guards.append(Rated("[1]"))
    try:
        assert llama.generate(prompts, 8) == wanted
        assert not llama.observable
    finally:
        llama.guards.pop()


@pytest.mark.parametrize(("count", "sizes"), [(10, [2, 2, 2, 2, 2]), (13, [2, 2, 2, 2, 5]), (5, [1] * 5)])
def test_what_is_left_over_goes_to_the_worst_quantile(count: int, sizes: list[int]) -> None:
    rewards = [float((7 * i) % count) for i in range(count)]
    found = quantiles(rewards, 5)
    assert [found.count(k) for k in range(5)] == sizes
    order = sorted(range(count), key=lambda i: found[i])
    worst = [min(rewards[i] for i in order if found[i] == k) for k in range(5)]
    assert all(min(worst[:k]) > max(rewards[i] for i in order if found[i] == k) for k in range(1, 5))


def test_the_divergence_is_nought_at_first_without_the_word(llama: LM) -> None:
    """The model before is asked without it, and at the same tokens; with it the two would differ."""
    method = Quark(plan=PLAN)
    rows = {r.id: llama.encoder.row(r) for r in worlds.FORGET}
    batches = llama.batch(worlds.FORGET), llama.batch([method._rated(r, 3) for r in worlds.FORGET])
    kls = []
    with trainable(llama, PLAN) as parts, torch.no_grad():
        before = Unasked(llama, parts, rows)
        for batch in batches:
            now, past = (View(p, slice(0, 4)) for p in (llama.run(batch), before.before(batch)))
            assert torch.equal(now.targets, past.targets)
            kls.append((quark(now, past, 1.0, 0.0) - quark(now, past, 0.0, 0.0)).item())
    assert abs(kls[0]) < 1e-6
    assert kls[1] > 1e-3


def test_the_loss_is_its_formula(batch: Batch) -> None:
    table, other = Table(batch), Table(batch, seed=1)
    view, past = table.view(), other.view(frozen=True)
    p, q = (v.logits.softmax(-1) for v in (view, past))
    slow = (-view.token_logps + 0.05 * (p * (p / q).log()).sum(-1) + 0.06 * (p * p.log()).sum(-1)).mean()
    assert_both(table, quark(view, past, 0.05, 0.06), slow)


def test_answers_are_drawn_by_seed_and_from_the_softmax(llama: LM) -> None:
    records = worlds.FORGET[:1]
    one, two, three = (drawn(llama, records, 60, 1, 2.0, seed) for seed in (1, 1, 2))
    assert one == two != three
    with torch.no_grad():
        first = llama.batch([replace(records[0], answer="")])
        likely = (llama.logits(first)[0] / 2.0).softmax(-1)
    best = str(llama.tokenizer.decode([int(likely.argmax())])).strip()
    share = sum(text == best for text in one[0] + three[0]) / 120
    p = likely.max().item()
    assert abs(share - p) < 4 * (p * (1 - p) / 120) ** 0.5 + 0.02


def test_the_default_reward_is_minus_the_overlap() -> None:
    record = Record("r", "What?", "Orvena has green copper.")
    assert [unlike(record, a) for a in ("Orvena has green copper.", "orvena, green!", "Nothing.")] == [-1.0, -0.5, 0.0]


def test_what_cannot_be_is_refused(llama: LM) -> None:
    for settings in ({"quantiles": 1}, {"samples": 0}, {"temperature": 0.0}):
        with pytest.raises(InputError, match="at least"):
            Quark(**settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="forget"):
        Quark()(llama, Request(retain=worlds.RETAIN))
    with pytest.raises(InputError, match="raise --samples"):
        Quark(quantiles=9, samples=1, plan=PLAN)(llama, REQUEST)
