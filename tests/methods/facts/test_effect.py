"""Causal tracing finds a fact where it was put, and says what it did not find."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from golden_edits import Golden
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

import worlds
from unteach.assemble import make_method
from unteach.edit.edit import Edit
from unteach.edit.plan import draw
from unteach.lm.anatomy import anatomy
from unteach.lm.fresh import fresh
from unteach.lm.model import LM
from unteach.methods.facts.effect import KINDS, Traced, Tracing, known, traced
from unteach.methods.facts.layers import several, single
from unteach.methods.facts.rome import ROME
from unteach.methods.facts.spot import spot
from unteach.methods.facts.values import Search
from unteach.schema import Fact, InputError, Request
from unteach.tracing import averaged

SIZE = replace(worlds.SIZE, layers=6)
WANTED = Fact("f", "The river beside {}", "Tarn Hollow", "has", "for")  # both answers are one token
TOLD = replace(WANTED, target_new="for", ground_truth="has")
LOUD = 20.0  # so many times its usual size is the embedding: what blocks of random weights add is then next to nothing
BOLD = Search(steps=60, clamp=1e4, kl=0.0, decay=0.0)


def blank(family: str) -> LM:
    """A model of six layers that knows nothing."""
    lm = fresh(worlds.TEXTS, SIZE)
    if family == "gpt2":
        config = GPT2Config(
            vocab_size=len(lm.tokenizer), n_positions=SIZE.positions, n_embd=SIZE.hidden, n_layer=SIZE.layers,
            n_head=SIZE.heads, bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(0)
            lm = LM(GPT2LMHeadModel(config), lm.tokenizer)
    with torch.no_grad():
        lm.model.get_input_embeddings().weight.mul_(LOUD)
    return lm


@contextmanager
def planted(family: str, layer: int) -> Iterator[LM]:
    """A model that knows one fact, by one MLP."""
    lm = blank(family)
    how = ROME(layer=layer or 0.01, whitened=False, forms=("{}",), search=BOLD)
    with how(lm, Request(facts=[WANTED])).on(lm):
        yield lm


@pytest.mark.parametrize("layer", [0, 1, 3, 4])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_trace_of_a_planted_fact_is_greatest_where_it_was_planted(family: str, layer: int) -> None:
    with planted(family, layer) as lm:
        (one,) = traced(lm, known(lm, [TOLD]), Tracing())
        chosen = single(lm, "auto", [TOLD]), several(lm, "auto", [TOLD])
    assert one.before > 0.9
    assert one.disturbed < 0.1
    mlp = one.effects[1]
    assert divmod(int(mlp.argmax()), lm.layers) == (one.subject - 1, layer)
    others = [n for n in range(lm.layers) if n != layer]
    assert mlp[one.subject - 1, layer] > 10 * mlp[:, others].max()
    assert mlp[one.subject - 1, layer] > 10 * one.effects[2].max(), "attention carries nothing here"
    assert [c.layers[-1] for c in chosen] == [layer, layer]
    assert f"at {layer}, 1 of 1 facts known" in chosen[0].why


def test_facts_that_were_learnt_by_their_names_lie_in_the_first_layer(golden: Golden) -> None:
    facts = known(golden.lm, golden.facts("memit_batch10"))
    assert len(facts) == 10
    ones = list(traced(golden.lm, facts, Tracing(samples=4), ("mlp",), alone=True))
    mean = torch.stack([one.effects[0, 0] for one in ones]).mean(0)
    assert int(mean.argmax()) == 0
    assert mean[0] > 2 * mean[1:].max()


def test_layers_are_found_by_tracing_and_stand_in_the_edit(golden: Golden) -> None:
    facts = golden.facts("memit_batch10")[:2]
    for name, option, chosen in (
        ("rome", "layer", "([0] traced: effect "),
        ("memit", "layers", "([0] traced: effect "),
    ):
        how: Any = make_method(name, {option: "auto", "steps": "2"})
        edit: Edit = replace(how, forms=("{}",))(golden.lm, Request(facts=facts))
        assert edit.made_by.startswith(f"{name}{chosen}")
        assert "2 of 2 facts known" in edit.made_by
        assert not [f for f in facts if f.subject in edit.made_by]


def by_hand(lm: LM, one: Fact, noise: Tensor, kind: str, token: int, layers: range) -> float:
    """One effect of one sample of noise, by plain hooks on three plain passes."""
    where, at = anatomy(lm.model), spot(lm, one.prompt, one.subject, one.ground_truth)
    part = {"state": "", "mlp": where.mlp_out, "attention": where.attn_out}[kind]
    modules = [lm.model.get_submodule(f"{where.blocks}.{n}.{part}".rstrip(".")) for n in layers]
    kept: dict[Any, Tensor] = {}

    def first(output: Any) -> Tensor:
        found: Tensor = output[0] if isinstance(output, tuple) else output
        return found

    def keep(module: Any, _: Any, output: Any) -> None:
        kept[module] = first(output).clone()

    def put(module: Any, _: Any, output: Any) -> None:
        first(output)[:, token] = kept[module][:, token]

    def disturb(_: Any, __: Any, output: Tensor) -> None:
        output[:, at.subject.start : at.subject.stop] += noise

    def p(hooks: list[tuple[Any, Callable[..., None]]]) -> float:
        handles = [module.register_forward_hook(hook) for module, hook in hooks]
        with torch.no_grad():
            logps = lm.model(torch.tensor([at.row.ids])).logits[0].log_softmax(-1)
        for handle in handles:
            handle.remove()
        return float(
            torch.stack([logps[t - 1, at.row.ids[t]] for t in range(at.row.start, len(at.row.ids))]).mean().exp()
        )

    noisy = [(lm.model.get_input_embeddings(), disturb)]
    p([(m, keep) for m in modules])
    return p([*noisy, *((m, put) for m in modules)]) - p(list(noisy))


def test_many_effects_at_once_are_those_of_one_by_one(golden: Golden) -> None:
    lm, fact = golden.lm, golden.facts("memit_batch10")[1]
    (one,) = traced(lm, [fact], Tracing(samples=1, window=3))
    at = spot(lm, fact.prompt, fact.subject, fact.ground_truth)
    seen = lm.model.get_input_embeddings()(torch.tensor(at.row.ids))[at.subject.start : at.subject.stop].detach()
    dice = torch.Generator().manual_seed(draw("disturbance", fact.id, 0) % 2**63)
    noise = 3 * seen.std() * torch.randn(1, *seen.shape, generator=dice)
    first = at.subject.start
    for k, kind in enumerate(KINDS):
        for token in (0, one.subject - 1, len(one.tokens) - 1):
            for layer in (0, 2, lm.layers - 1):
                window = (
                    range(layer, layer + 1) if kind == "state" else range(max(layer - 1, 0), min(layer + 2, lm.layers))
                )
                plain = by_hand(lm, fact, noise, kind, first + token, window)
                assert float(one.effects[k, token, layer]) == pytest.approx(plain, abs=1e-5)


def test_the_last_state_brings_all_back_and_noise_is_drawn_for_each_fact_alone(golden: Golden) -> None:
    lm = golden.lm
    facts = golden.facts("memit_batch10")
    rows = [spot(lm, f.prompt, f.subject, f.ground_truth).row for f in facts]
    fact = next(
        f for f, row in zip(facts, rows, strict=True) if len(row.ids) == row.start + 1
    )  # an answer of one token
    run = partial(traced, lm, kinds=("state",))
    (one,) = run([fact], Tracing(samples=3))
    assert float(one.effects[0, -1, -1]) == pytest.approx(one.before - one.disturbed, abs=1e-5)
    assert float(one.effects[0, :-1, -1].abs().max()) < 1e-6
    torch.manual_seed(7)
    before = torch.get_rng_state()
    (again,) = run([fact], Tracing(samples=3))
    assert torch.equal(one.effects, again.effects)
    assert torch.equal(torch.get_rng_state(), before)
    (other,) = run([fact], Tracing(samples=3, seed=1))
    (renamed,) = run([replace(fact, id="another")], Tracing(samples=3))
    assert not torch.equal(one.effects, other.effects)
    assert not torch.equal(one.effects, renamed.effects)


def test_facts_that_the_model_does_not_know_are_not_traced(golden: Golden) -> None:
    fact = golden.facts("memit_batch10")[0]
    turned = replace(fact, target_new=fact.ground_truth, ground_truth=fact.target_new)
    unsaid = replace(fact, ground_truth="")
    assert known(golden.lm, [turned, fact, unsaid]) == [fact]
    for how in (ROME(layer="auto"), make_method("memit", {"layers": "auto"})):
        with pytest.raises(InputError, match="it knows none; give their ground_truth") as refused:
            how(golden.lm, Request(facts=[turned]))
        assert fact.subject not in str(refused.value)


@pytest.mark.parametrize(("layers", "window"), [(2, 1), (4, 1), (6, 1), (12, 3), (24, 7), (28, 9), (30, 10), (48, 10)])
def test_a_window_of_ten_is_narrower_in_a_model_of_few_layers(layers: int, window: int) -> None:
    assert Tracing().wide(layers) == window
    assert Tracing(window=4).wide(layers) == 4


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"noise": 0.0}, {"window": 0}])
def test_tracing_with_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="at least one sample"):
        Tracing(**wrong)


def test_tokens_are_averaged_by_the_part_they_play() -> None:
    lm = worlds.llama()

    def one(subject: int, effects: list[float]) -> Traced:
        table = torch.tensor(effects, dtype=torch.float32)[None, :, None].expand(len(KINDS), -1, lm.layers)
        return Traced("", 0.8, 0.3, tuple(range(len(effects))), subject, table)

    found = averaged(lm, [one(4, [1, 2, 4, 8, 16, 32, 64]), one(1, [3, 5]), one(2, [7, 9])], Tracing(), unknown=2)
    means = {e.token: (e.value, e.n) for e in found.effects if (e.restored, e.layer) == ("mlp", 1)}
    assert means == {
        "first subject token": (4.0, 2),
        "middle subject tokens": (3.0, 1),
        "last subject token": ((8 + 3 + 9) / 3, 3),
        "further tokens": (24.0, 1),
        "last token": ((64 + 5) / 2, 2),
    }
    alone = next(e for e in found.effects if e.token == "further tokens")
    assert (alone.low, alone.high) == (None, None)
    pair = next(e for e in found.effects if e.token == "last token")
    assert (pair.low, pair.high) == (5.0, 64.0)
    assert (found.total.value, found.unknown, found.total.n) == (pytest.approx(0.5), 2, 3)
