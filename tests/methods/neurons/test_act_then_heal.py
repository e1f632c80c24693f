"""Weights are drawn anew or cut, and the rows to keep are learnt over that."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.prune import l1_unstructured
from transformers import AutoConfig, AutoModelForCausalLM

import worlds
from unteach.edit.edit import Edit
from unteach.edit.gauge import Gauge
from unteach.edit.learn import learn
from unteach.edit.patches import Put, Scale
from unteach.edit.plan import Plan
from unteach.lm.anatomy import blocks
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match, probability
from unteach.methods.neurons import euk, prunefinetune, resetweights
from unteach.methods.neurons.cfk import CFk
from unteach.methods.neurons.euk import EUk
from unteach.methods.neurons.healing import healed
from unteach.methods.neurons.prunefinetune import PruneFinetune
from unteach.methods.neurons.resetweights import ResetWeights
from unteach.methods.neurons.weights import started
from unteach.schema import InputError, Record, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
SHORT = Plan(tune="full", epochs=2, lr=3e-3, batch_size=4, accumulate=1)
STILL = replace(SHORT, lr=1e-12)
LONG = replace(SHORT, epochs=28)


def last_block(lm: LM) -> dict[str, Tensor]:
    prefix = next(n for n, m in lm.model.named_modules() if m is blocks(lm.model)[-1])
    return {n: p.detach() for n, p in lm.parameters().items() if n.startswith(f"{prefix}.")}


def inside(lm: LM) -> set[str]:
    """The matrices of all blocks."""
    own = {id(p) for p in blocks(lm.model).parameters() if p.ndim == 2}
    return {name for name, p in lm.parameters().items() if id(p) in own}


def values(edit: Edit) -> dict[str, Tensor]:
    """What the edit puts in place of weights: nothing lies under that."""
    found = {}
    for name, (patch,) in edit.weights.items():
        assert isinstance(patch, Put)
        found[name] = patch.value
    return found


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> list[Edit]:
    """What was done before the learning, as the learning hides it."""
    found: list[Edit] = []

    def noted(lm: LM, act: Edit, request: Request, plan: Plan) -> Edit:
        found.append(act)
        return healed(lm, act, request, plan)

    for module in (euk, prunefinetune, resetweights):
        monkeypatch.setattr(module, "healed", noted)
    return found


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[n], wanted[n]) for n in wanted)


def knows(lm: LM, edit: Edit) -> tuple[float, float]:
    """Mean probability of the rows to forget, mean greedy accuracy on those to keep."""
    with edit.on(lm):
        gone, stays = ask(lm, worlds.FORGET), ask(lm, worlds.RETAIN)
    return sum(map(probability, gone)) / len(gone), sum(map(exact_match, stays)) / len(stays)


def before(lm: LM) -> float:
    return sum(map(probability, ask(lm, worlds.FORGET))) / len(worlds.FORGET)


def test_euk_starts_the_last_blocks_anew_and_leaves_the_rest(lm: LM, acts: list[Edit]) -> None:
    """Bit for bit what drawing the last block anew, and learning the retain rows with it alone, comes to."""
    known = last_block(lm)
    edit = EUk(k=1, plan=SHORT)(lm, REQUEST)
    first = values(acts[0])
    assert same(first, started(lm, known, 0))
    for name, value in first.items():
        assert not torch.equal(value, known[name]) or not known[name].any()
    act = Edit(lm.digest(), {name: (Put(value),) for name, value in first.items()})
    with act.on(lm):
        learnt = learn(lm, worlds.RETAIN, replace(SHORT, tune=f"{lm.layers - 1}"))
    assert same(values(edit), values(learnt))
    EUk(k=1, seed=1, plan=SHORT)(lm, REQUEST)
    assert not same(values(acts[1]), first)


def test_cfk_starts_from_the_weights_as_they_are(lm: LM) -> None:
    """Without a rate nothing moves, where EU-k is far away by then; with one it is learning with the last block alone."""
    known = last_block(lm)
    still, anew = (values(m(k=1, plan=STILL)(lm, REQUEST)) for m in (CFk, EUk))
    assert still.keys() == anew.keys() == known.keys()
    assert all(torch.allclose(still[n], known[n], rtol=0, atol=1e-7) for n in known)
    assert all((anew[n] - known[n]).norm() > 0.1 * known[n].norm() for n in known if known[n].ndim == 2)
    learnt = learn(lm, worlds.RETAIN, replace(SHORT, tune=f"{lm.layers - 1}"))
    assert same(values(CFk(k=1, plan=SHORT)(lm, REQUEST)), values(learnt))


def test_euk_of_all_blocks_forgets_what_the_retain_rows_do_not_teach(lm: LM) -> None:
    """So much of it is gone that what CF-k leaves is twice as likely."""
    gone, stays = knows(lm, EUk(k=lm.layers, plan=LONG)(lm, REQUEST))
    left, _ = knows(lm, CFk(k=lm.layers, plan=LONG)(lm, REQUEST))
    assert gone < 0.4 * before(lm)
    assert 2 * gone < left < before(lm)
    assert stays >= 0.9


@pytest.mark.parametrize("family", ["gpt_neox", "gemma2", "olmo2", "qwen3", "llama", "gpt2"])
def test_start_values_are_those_of_a_new_model_of_the_family(family: str, llama: LM) -> None:
    sizes = {"vocab_size": len(llama.tokenizer), "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = AutoConfig.for_model(
        family, **sizes, intermediate_size=128, max_position_embeddings=32, initializer_range=0.1
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    new = {n: p.detach().clone() for n, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.5)
    lm = LM(model, llama.tokenizer)
    for name, value in started(lm, [n for n in new if ".0." in n], 0).items():
        assert value.shape == new[name].shape
        if value.ndim == 1:
            assert torch.equal(value, new[name])
        else:
            assert abs(value.mean()) < 0.01
            assert value.std() == pytest.approx(0.1, rel=0.05)


def test_prunefinetune_cuts_the_smallest_weights_and_learns_to_keep(lm: LM, acts: list[Edit]) -> None:
    """The masks are those of PyTorch's own pruning of each linear map in the blocks; nothing else is cut."""
    edit = PruneFinetune(plan=LONG)(lm, REQUEST)
    assert acts[0].weights.keys() == inside(lm)
    for name, (patch,) in acts[0].weights.items():
        assert isinstance(patch, Scale)
        oracle = nn.Module()
        oracle.weight = nn.Parameter(lm.parameters()[name].detach().clone())
        l1_unstructured(oracle, "weight", amount=0.99)
        assert torch.equal(patch.by.float(), oracle.weight_mask)
    gone, stays = knows(lm, edit)
    assert gone < 0.2 * before(lm)
    assert stays >= 0.9
    damaged, unable = knows(lm, PruneFinetune(plan=STILL)(lm, REQUEST))
    assert unable < 0.3 > damaged  # without the learning nothing is kept


def slow_gradient(lm: LM, records: tuple[Record, ...], name: str) -> Tensor:
    """Row by row, in the loss that is the mean over all answer tokens."""
    weight = lm.parameters()[name]
    losses, tokens = [], 0
    for record in records:
        batch = lm.batch([record])
        logps = lm.logits(batch).log_softmax(-1).gather(1, batch.targets[:, None])
        losses.append(-logps.sum())
        tokens += len(logps)
    return torch.autograd.grad(torch.stack(losses).sum() / tokens, weight)[0]


def test_resetweights_starts_anew_where_the_two_gradients_are_most_alike(lm: LM, acts: list[Edit]) -> None:
    ResetWeights(share=0.3, plan=STILL)(lm, REQUEST)
    drawn = values(acts[0])
    new = started(lm, drawn, 0)
    assert drawn.keys() == inside(lm)
    for name in (min(drawn), max(drawn)):
        known = lm.parameters()[name].detach()
        apart = (slow_gradient(lm, worlds.FORGET, name) - slow_gradient(lm, worlds.RETAIN, name)).abs()
        reset = drawn[name] != known
        assert int(reset.sum()) == round(0.3 * known.numel())
        assert apart[reset].max() <= 1.001 * apart[~reset].min() + 1e-9
        assert torch.equal(drawn[name][reset], new[name][reset])


def test_resetweights_forgets_and_keeps(lm: LM) -> None:
    gone, stays = knows(lm, ResetWeights(plan=LONG)(lm, REQUEST))
    assert gone < 0.4 * before(lm)
    assert stays >= 0.9


@pytest.mark.parametrize("make", [partial(EUk, k=1), PruneFinetune, ResetWeights], ids=["euk", "prune", "reset"])
def test_the_history_tells_of_the_rows_to_forget_from_before_the_act(make: Callable[..., Any], llama: LM) -> None:
    """Before the act, after it, and while the model heals, which a stop for the forget rows does not cut short."""
    edit = make(plan=replace(SHORT, stop_forget=1.0))(llama, REQUEST)
    assert [h["step"] for h in edit.history] == [0, 0, 2, 4]
    first, acted, _, last = edit.history
    with edit.on(llama):
        assert last.items() >= Gauge(llama, REQUEST).read().items()
    assert first.items() >= Gauge(llama, REQUEST).read().items()
    assert acted["forget_probability"] < first["forget_probability"]
    assert [h["tokens"] for h in (first, acted)] == [0, 0]


def test_cfk_stops_where_the_rows_to_forget_have_come_down(llama: LM) -> None:
    plan = replace(LONG, lr=1e-2)
    whole = CFk(k=1, plan=plan)(llama, REQUEST).history
    assert len(whole) == 1 + plan.epochs
    goal = min(h["forget_probability"] for h in whole[:12])
    stopped = CFk(k=1, plan=replace(plan, stop_forget=goal))(llama, REQUEST).history
    assert stopped[-1]["forget_probability"] <= goal < min(h["forget_probability"] for h in stopped[:-1])
    assert len(stopped) < len(whole)
    assert CFk(k=1, plan=SHORT)(llama, replace(REQUEST, forget=())).history == ()


def test_what_cannot_be_is_refused(llama: LM) -> None:
    for method in (EUk(), CFk(), PruneFinetune(), ResetWeights()):
        with pytest.raises(InputError, match="give --retain"):
            method(llama, Request(forget=worlds.FORGET))
        with pytest.raises(InputError, match=r"^1 of the records to forget are also to be kept"):
            method(llama, Request(forget=worlds.FORGET, retain=(*worlds.RETAIN, worlds.FORGET[0])))
    for k in (0, 4, -1):
        with pytest.raises(InputError, match="the model has 3"):
            EUk(k=k)(llama, REQUEST)
    for share in (0.0, 1.5):
        for kind in (PruneFinetune, ResetWeights):
            with pytest.raises(InputError, match="choose it above 0"):
                kind(share=share)


@pytest.mark.parametrize(
    "method", [EUk(), CFk(), PruneFinetune(), ResetWeights()], ids=lambda m: type(m).__name__.lower()
)
def test_what_lies_in_an_adapter_is_not_passed_over(
    method: EUk | CFk | PruneFinetune | ResetWeights, llama: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "adapter", object())
    with pytest.raises(InputError, match="merge the model's adapter"):
        method(llama, REQUEST)
