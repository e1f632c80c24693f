"""Sums of edits, and edits merged by a rule: exact where numbers allow it, and on one model only."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import changes
import pytest
import torch
from parrot import Parrot
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

import worlds
from unteach.edit import store
from unteach.edit.arithmetic import merged, weighted
from unteach.edit.bake import save_adapter
from unteach.edit.edit import Edit
from unteach.edit.merging import DropRescale, Mean, Rule, TrimElect
from unteach.edit.patches import Add, AddOuter, Put, through
from unteach.lm.load import load, quiet
from unteach.lm.model import LM
from unteach.schema import Guarantee, InputError

RULES: tuple[Rule, ...] = (Mean(), TrimElect(0.3), DropRescale(0.5))


def trained(lm: LM, seed: int) -> Edit:
    """What a training of all weights returns: a new value of each."""
    found = lm.parameters()
    values = {
        n: p.detach() + 0.05 * changes.drawn(*p.shape, seed=seed + k).to(p) for k, (n, p) in enumerate(found.items())
    }
    return Edit(lm.digest(), {n: (Put(v),) for n, v in values.items()}, made_by=f"trained from {seed}")


def worn(lm: LM, edit: Edit) -> dict[str, Tensor]:
    """Every weight of the model that wears the edit."""
    return {n: through(edit.weights.get(n, ()), p.detach()) for n, p in lm.parameters().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Bit for bit, the sign of zeros too."""
    return all(torch.equal(a[n].view(torch.int32), b[n].view(torch.int32)) for n in a.keys() | b.keys())


@pytest.fixture
def wide() -> LM:
    """A model of random weights in float64."""
    lm = worlds.llama()
    lm.model.double()
    return lm


@pytest.mark.parametrize("rule", [Mean(), TrimElect(1.0), DropRescale(0.0)], ids=repr)
def test_one_edit_merged_is_that_edit(lm: LM, rule: Rule) -> None:
    """Bit for bit, however far it moved; a sum in the weights' own float32 misses some."""
    values = {n: 0.01 * changes.drawn(*p.shape, seed=k) for k, (n, p) in enumerate(lm.parameters().items())}
    edit = Edit(lm.digest(), {n: (Put(v),) for n, v in values.items()})
    assert same(worn(lm, merged([edit], lm, rule)), worn(lm, edit))
    assert same(worn(lm, weighted([edit], [1.0], lm)), worn(lm, edit))
    plain = {n: p.detach() + edit.delta(lm)[n] for n, p in lm.parameters().items()}
    assert not same(plain, worn(lm, edit))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_order_of_edits_does_not_matter_to_a_bit(lm: LM, rule: Rule) -> None:
    edits = [trained(lm, 1), changes.low_rank(lm, 5), changes.on_weights(lm, 9)]
    first = merged(edits, lm, rule)
    assert all(merged(order, lm, rule).digest() == first.digest() for order in permutations(edits))
    terms = list(zip(edits, (0.5, -2.0, 1.0), strict=True))
    summed = [weighted([e for e, _ in order], [b for _, b in order], lm) for order in permutations(terms)]
    assert len({edit.digest() for edit in summed}) == 1


def test_sums_and_negations_hold_to_the_last_digits(wide: LM) -> None:
    a, b = trained(wide, 1), trained(wide, 2)
    both, less = weighted([a, b], [1.0, 1.0], wide).delta(wide), weighted([a], [-1.0], wide).delta(wide)
    for name, change in a.delta(wide).items():
        torch.testing.assert_close(both[name], change + b.delta(wide)[name], rtol=0, atol=1e-15)
        torch.testing.assert_close(less[name], -change, rtol=0, atol=1e-15)
        torch.testing.assert_close(a.scaled(-1).delta(wide)[name], -change, rtol=0, atol=1e-15)
    nothing = worn(wide, weighted([a, a], [1.0, -1.0], wide))
    assert all(torch.equal(nothing[n], p) for n, p in wide.parameters().items())


def test_the_vector_taken_from_the_tuned_model_gives_the_base(wide: LM) -> None:
    """To the rounding of float64; in bfloat16 it does not, and taking the edit off always does."""
    edit = trained(wide, 1)
    tau, tuned = edit.delta(wide), worn(wide, edit)
    small = 0
    for name, base in wide.parameters().items():
        back = Add(-tau[name])(tuned[name])
        unit = torch.finfo(torch.float64).eps * torch.maximum(base.abs(), tuned[name].abs())
        assert ((back - base).abs() <= unit).all()
        small += int(((back - base).abs() <= 2e-18).sum())
        rough = tuned[name].bfloat16() - (tuned[name].bfloat16() - base.bfloat16())
        assert base.ndim == 1 or not torch.equal(rough, base.bfloat16())
    assert small > 0.9 * sum(p.numel() for p in wide.parameters().values())
    digest = wide.digest()
    with edit.on(wide):
        assert wide.digest() != digest
    assert wide.digest() == digest


def test_none_of_a_change_is_nothing_bit_for_bit() -> None:
    lm = worlds.llama()
    with torch.no_grad():
        next(iter(lm.parameters().values()))[0, :8] = -0.0
    before = worn(lm, Edit(lm.digest()))
    edits = [trained(lm, 1), changes.low_rank(lm, 2)]
    for rule in RULES:
        assert same(worn(lm, merged(edits, lm, rule, alpha=0.0)), before)
    assert same(worn(lm, weighted(edits, [0.0, 0.0], lm)), before)
    assert not same(worn(lm, weighted(edits, [0.0, 1.0], lm)), before)


def test_tied_embeddings_move_once(lm: LM) -> None:
    """The output head is the embedding; it moves by the change, not by twice the change."""
    edit = trained(lm, 1)
    name = changes.places(lm)[2]
    assert "embed" in name or "wte" in name
    half = weighted([edit], [0.5], lm)
    assert half.weights.keys() == lm.parameters().keys()
    wanted = lm.parameters()[name].detach() + 0.5 * edit.delta(lm)[name]
    with half.on(lm):
        head = lm.model.get_output_embeddings().weight
        assert head is lm.model.get_input_embeddings().weight
        torch.testing.assert_close(head.detach(), wanted, rtol=0, atol=1e-7)


def test_low_rank_changes_add_up_to_a_low_rank_change(lm: LM) -> None:
    edits = [changes.low_rank(lm, seed) for seed in (1, 5, 9)]
    by = (0.5, -2.0, 1.0)
    found = weighted(edits, by, lm)
    for name, (term,) in found.weights.items():
        assert isinstance(term, AddOuter)
        assert term.left.shape[1] == 6
        torch.testing.assert_close(
            found.delta(lm)[name], sum(b * e.delta(lm)[name] for e, b in zip(edits, by, strict=True)),
            rtol=1e-4, atol=1e-5,
        )  # fmt: skip
    (alone,), (term,) = (weighted(edits[:1], [1.0], lm).weights[name], edits[0].weights[name])
    assert isinstance(alone, AddOuter)
    assert isinstance(term, AddOuter)
    assert alone.scale == term.scale
    assert torch.equal(alone.left, term.left)
    mixed = weighted([edits[0], trained(lm, 1)], [1.0, 1.0], lm)
    assert all(isinstance(chain[0], Put) for chain in mixed.weights.values())


def test_saved_edits_are_merged_and_released_as_an_adapter(lm: LM, tmp_path: Path) -> None:
    base = load(worlds.saved(lm, tmp_path / "base"))
    edits = [changes.low_rank(base, seed) for seed in (1, 5)]
    for n, edit in enumerate(edits):
        store.save(edit, tmp_path / str(n))
    read = [store.load(tmp_path / str(n)) for n in range(2)]
    assert merged(read, base, TrimElect()).digest() == merged(edits, base, TrimElect()).digest()
    both = weighted(read, [0.5, 0.5], base)
    save_adapter(both, base, tmp_path / "adapter")
    batch = base.batch(worlds.RECORDS)
    with torch.no_grad(), both.on(base):
        wanted = base.logits(batch)
    with torch.no_grad():
        torch.testing.assert_close(load(tmp_path / "adapter").logits(batch), wanted, rtol=1e-3, atol=1e-4)


def test_the_mean_of_factors_is_not_the_mean_of_adapters() -> None:
    """PEFT's `linear` adds left and right factors each by themselves; what that gives is another change."""
    lm = worlds.llama()
    sites = ["q_proj", "v_proj"]
    with quiet():
        model = get_peft_model(worlds.llama().model, LoraConfig(r=4, lora_alpha=4, target_modules=sites), "a")
        model.add_adapter("b", LoraConfig(r=4, lora_alpha=4, target_modules=sites))
        layers = {n.removeprefix("base_model.model."): m for n, m in model.named_modules() if isinstance(m, LoraLayer)}
        edits = []
        for seed, adapter in enumerate(("a", "b")):
            weights = {}
            for n, (path, layer) in enumerate(layers.items()):
                down, up = layer.lora_A[adapter].weight.data, layer.lora_B[adapter].weight.data
                down.copy_(changes.drawn(*down.shape, seed=100 * seed + n))
                up.copy_(changes.drawn(*up.shape, seed=100 * seed + n + 50))
                weights[f"{path}.weight"] = (AddOuter(up.clone(), down.clone(), layer.scaling[adapter]),)
            edits.append(Edit(lm.digest(), weights))
        model.add_weighted_adapter(["a", "b"], [0.5, 0.5], "mean", combination_type="linear")
    ours, theirs = weighted(edits, [0.5, 0.5], lm).delta(lm), {}
    for path, layer in layers.items():
        mean = (layer.get_delta_weight("a") + layer.get_delta_weight("b")) / 2
        theirs[path] = ((layer.get_delta_weight("mean") - mean).norm() / mean.norm()).item()
        assert ((ours[f"{path}.weight"] - mean).norm() / mean.norm()).item() < 1e-5
    assert min(theirs.values()) > 0.5


def test_turning_both_factors_turns_nothing() -> None:
    lm = worlds.llama()
    edit = changes.low_rank(lm)
    turned = edit.scaled(-1.0).delta(lm)
    for name, change in edit.delta(lm).items():
        (term,) = edit.weights[name]
        assert isinstance(term, AddOuter)
        both = AddOuter(-term.left, -term.right, term.scale)(lm.parameters()[name].detach())
        torch.testing.assert_close(both - lm.parameters()[name].detach(), change, rtol=0, atol=1e-6)
        torch.testing.assert_close(turned[name], -change, rtol=0, atol=1e-6)


def test_over_a_quantised_weight_only_low_rank_changes_add_up() -> None:
    lm = worlds.llama()
    first, _, tied = changes.places(lm)
    edits = [
        replace(changes.low_rank(lm, seed), weights={first: changes.low_rank(lm, seed).weights[first]})
        for seed in (1, 5)
    ]
    owner, shape = lm.model.get_submodule(first.removesuffix(".weight")), lm.parameters()[first].shape
    owner.weight = nn.Parameter(torch.zeros(shape, dtype=torch.uint8), requires_grad=False)
    edits = [replace(edit, base=lm.digest()) for edit in edits]
    assert isinstance(weighted(edits, [1.0, 1.0], lm).weights[first][0], AddOuter)
    with pytest.raises(InputError, match=f"weight '{first}' is quantised or not in memory"):
        merged(edits, lm, Mean())
    whole = Edit(lm.digest(), {tied: (Add(torch.ones(())),)})
    assert merged([whole], lm, Mean()).weights.keys() == {tied}


def test_a_merge_claims_no_more_than_it_can(llama: LM) -> None:
    strong = replace(changes.low_rank(llama), guarantee=Guarantee("certified", claim="A bound."))
    weak = replace(changes.low_rank(llama, 5), guarantee=Guarantee("none", claim="Nothing."))
    assert weighted([strong], [2.0], llama).guarantee.kind == "empirical"
    assert merged([strong, weak], llama, Mean()).guarantee.kind == "none"


Makes = Callable[[LM], list[Edit]]
REFUSED: dict[str, tuple[Makes, str]] = {
    "none": (lambda _lm: [], "there are no edits to merge; give at least one"),
    "two bases": (
        lambda lm: [changes.low_rank(lm), replace(changes.low_rank(lm), base="0" * 64)],
        "edits made on different models cannot be merged; make all of them on one model",
    ),
    "another base": (lambda lm: [replace(changes.low_rank(lm), base="0" * 64)], "this edit was made on another model"),
    "activations": (lambda lm: [changes.low_rank(lm), changes.on_activations(lm)], "only changes of weights"),
    "guards": (lambda lm: [replace(changes.low_rank(lm), guards=(Parrot("a", "b"),))], "only changes of weights"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_added_up_is_refused(llama: LM, what: str) -> None:
    make, sentence = REFUSED[what]
    edits = make(llama)
    for merge in (lambda: merged(edits, llama, Mean()), lambda: weighted(edits, [1.0] * len(edits), llama)):
        with pytest.raises(InputError, match=sentence):
            merge()


def test_the_model_is_left_as_it_was(lm: LM) -> None:
    before = worlds.state(lm)
    edits = [trained(lm, 1), changes.on_weights(lm, 2)]
    for rule in RULES:
        with merged(edits, lm, rule).on(lm):
            assert lm.digest() != before["worn"][2]
    weighted(edits, [1.0, 2.0], lm)
    assert worlds.state(lm) == before
