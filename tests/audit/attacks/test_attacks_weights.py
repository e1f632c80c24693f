"""Attacks by whoever holds the weights."""

from dataclasses import replace

import pytest
import torch
from aimed import Mute, aimed, attack, noise, pushed_down, twin
from torch import Tensor

import families
import worlds
from unteach.audit.attacks.prune import neurons, smallest
from unteach.audit.rounding import normal_float, normal_levels
from unteach.audit.target import mean
from unteach.edit.edit import Edit
from unteach.edit.maps import Shift
from unteach.edit.patches import Add, AddOuter, Put
from unteach.lm.anatomy import anatomy, stored_in_out
from unteach.lm.model import LM
from unteach.registry import build
from unteach.schema import InputError

# Dettmers et al. 2023, appendix E, to four digits
PUBLISHED = [-1, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0, 0.0796, 0.1609, 0.2461, 0.3379, 0.4407,
             0.5626, 0.7230, 1]  # fmt: skip


def test_normal_float_against_the_published_levels_and_the_nearest_of_them() -> None:
    levels = normal_levels()
    torch.testing.assert_close(levels, torch.tensor(PUBLISHED, dtype=torch.float64), rtol=0, atol=6e-5)
    weight = torch.randn(5, 50, generator=torch.Generator().manual_seed(0))
    codes, found = normal_float(weight)
    flat = weight.flatten()
    for at in range(0, len(flat), 64):
        block = flat[at : at + 64]
        nearest = (block[:, None] / block.abs().max() - levels.float()).abs().argmin(1)
        assert torch.equal(codes.flatten()[at : at + 64], nearest)
        torch.testing.assert_close(found.flatten()[at : at + 64], levels.float()[nearest] * block.abs().max())
    assert torch.equal(normal_float(torch.zeros(2, 3))[1], torch.zeros(2, 3))


def test_the_note_of_rounding_counts_the_codes_that_are_as_before(llama: LM) -> None:
    """The edit turns every sign of one matrix: its codes are other ones unless they are 0, all the rest are as before."""
    name = "model.layers.1.mlp.down_proj.weight"
    weight, before = llama.parameters()[name].detach(), twin(llama)
    with Edit(base=llama.digest(), weights={name: (Put(-weight),)}).on(llama):
        found = attack("quantise", aimed(llama, before), {"kinds": ("int8",)})
        alone = attack("quantise", aimed(llama, llama), {"kinds": ("int8",)})  # one copy is not two models
    steps = {n: p.abs().amax(1, keepdim=True) / 127 for n, p in before.parameters().items() if p.ndim == 2}
    zeros = int(((before.parameters()[name] / steps[name]).round() == 0).sum())
    sizes = {n: before.parameters()[n].numel() for n in steps}
    share = 1 - (sizes[name] - zeros) / sum(sizes.values())
    assert found.note == f"rounding to int8; weights whose code is the one they had before: {share:.1%} at int8"
    assert alone.note == "rounding to int8"
    assert [x for x, _ in attack("quantise", aimed(llama)).curve] == [4, 4.5, 8]


def test_a_low_rank_edit_is_rounded_with_the_weights_it_lies_over(llama: LM) -> None:
    """As it will ship: the same answers as those of the baked model rounded."""
    edit = pushed_down(llama, "lora")
    assert all(isinstance(p, AddOuter) for chain in edit.weights.values() for p in chain)
    baked = twin(llama)
    with torch.no_grad():
        for name, change in edit.delta(llama).items():
            baked.parameters()[name].add_(change)
    with edit.on(llama):
        worn = attack("quantise", aimed(llama, baked), {"kinds": ("int4",)})
    assert worn.values == attack("quantise", aimed(baked), {"kinds": ("int4",)}).values
    assert worn.note.endswith("100.0% at int4")  # one in thousands may round the other way


def test_precision_takes_back_what_half_precision_cannot_hold(llama: LM) -> None:
    """Of an edit that stays between the same two numbers nothing is left."""
    shifts = {n: (Add((p.detach().bfloat16().float() - p.detach()) / 2),) for n, p in llama.parameters().items()}
    edit, before = Edit(base=llama.digest(), weights=shifts), twin(llama)
    plain = attack("precision", aimed(llama), {"kinds": ("bf16",)})
    with edit.on(llama):
        hidden = attack("precision", aimed(llama, before), {"kinds": ("bf16",)})
        finer = attack("precision", aimed(llama, before), {"kinds": ("fp16",)})
    assert (hidden.values, hidden.curve) == (plain.values, plain.curve)
    assert hidden.note.endswith("weights whose code is the one they had before: 100.0% at bf16")
    assert not finer.note.endswith("100.0% at fp16")
    with pytest.raises(InputError, match=r"option 'kinds' of precision must hold some of bf16, fp16"):
        build("attack", "precision", {"kinds": ()})


def test_prune_takes_out_the_neurons_that_hide_an_answer(lm: LM) -> None:
    """Three neurons that shout into the last block are found by their change, and silenced."""
    place, loud = anatomy(lm.model), [3, 50, 101]
    name = f"{place.blocks}.{lm.layers - 1}.{place.mlp_out}.weight"
    weight = lm.parameters()[name].detach()
    shout = torch.zeros_like(weight)
    in_out = stored_in_out(lm.model.get_submodule(name.removesuffix(".weight")))
    (shout if in_out else shout.T)[loud] = 30 * torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    before, plain = twin(lm), mean(aimed(lm).told())
    width = weight.shape[0 if in_out else 1]
    with Edit(base=lm.digest(), weights={name: (Add(shout),)}).on(lm):
        changes = neurons(lm, {n: p.detach() for n, p in before.parameters().items()})
        assert changes[name].nonzero().flatten().tolist() == loud
        assert sum(int(size.count_nonzero()) for size in changes.values()) == 3
        hidden = mean(aimed(lm).told())
        found = attack("prune", aimed(lm, before), {"by": "changed", "shares": (3 / width / lm.layers,)})
        more = attack("prune", aimed(lm, before), {"by": "changed", "shares": (0.5,)})
    assert hidden < 0.3
    assert mean(found.values) > plain - 0.3
    assert more.values == found.values  # what did not change is left alone
    assert attack("prune", aimed(lm, before), {"by": "changed"}).note == "no neuron changed"


def test_a_neuron_has_changed_by_what_leads_into_it_and_out_of_it(lm: LM) -> None:
    before = {n: p.detach() for n, p in twin(lm).parameters().items()}
    with noise(lm, 0.1).on(lm):
        changes = neurons(lm, before)
        out = next(iter(changes))
        inside = out.rsplit(".", 2)[0] + "."
        deltas = {n: p.detach() - before[n] for n, p in lm.parameters().items() if n.startswith(inside) and p.ndim == 2}
    flipped = stored_in_out(lm.model.get_submodule(out.removesuffix(".weight")))
    into = [d.T if flipped else d for n, d in deltas.items() if n != out]
    parts = [*into, deltas[out] if flipped else deltas[out].T]
    torch.testing.assert_close(changes[out], torch.cat(parts, 1).norm(dim=1))


def test_prune_by_magnitude_puts_the_smallest_of_each_matrix_to_zero(llama: LM) -> None:
    weight = torch.tensor([[0.1, -5.0, 0.3], [-0.2, 0.4, 9.0]])
    assert smallest(weight, 0.5).tolist() == [[True, False, True], [True, False, False]]
    plain = aimed(llama).told()
    found = attack("prune", aimed(llama), {"shares": (0.0, 1.0)})
    assert found.curve[0] == (0.0, pytest.approx(mean(plain)))
    assert found.curve[1][1] < 0.3  # without any weight in its blocks a model knows nothing
    with pytest.raises(InputError, match=r"option 'shares' of prune must hold numbers from 0 to 1"):
        build("attack", "prune", {"shares": (2,)})


def test_adapterremoval_brings_back_all_that_an_edit_only_wears(llama: LM) -> None:
    plain, edit = aimed(llama).told(), pushed_down(llama, "lora")
    shift = {"model.layers.0": (Shift(torch.full((64,), 9.0)),)}
    for worn, what in [
        (edit, "low-rank terms"),
        (Edit(base=llama.digest(), activations=shift), "activation maps"),
    ]:
        with worn.on(llama):
            assert mean(aimed(llama).told()) < mean(plain) - 0.3
            found = attack("adapterremoval", aimed(llama))
            assert (found.values, found.note) == (plain, f"taken off: {what}")
    guarded = twin(llama)
    guarded.guards.append(Mute())
    assert mean(aimed(guarded).told()) == 0
    found = attack("adapterremoval", aimed(guarded))
    assert (found.values, found.note, guarded.guards) == (plain, "taken off: guards", [Mute()])
    with noise(llama, 0.01).on(llama):
        baked, told = attack("adapterremoval", aimed(llama)), aimed(llama).told()
    assert (baked.values, baked.note) == (told, "nothing to take off: whatever was changed is in the weights")


@pytest.mark.parametrize("name", families.OWN)
def test_neurons_are_found_in_every_family(name: str) -> None:
    lm = families.family(name)
    before = {n: p.detach() for n, p in twin(lm).parameters().items()}
    inside = next(iter(neurons(lm, before))).rsplit(".", 2)[0] + "."
    matrices = [n for n in before if n.startswith(inside) and before[n].ndim == 2]
    for matrix in matrices:
        flipped = stored_in_out(lm.model.get_submodule(matrix.removesuffix(".weight")))
        change = torch.zeros_like(before[matrix])
        to_from = change.T if flipped else change  # a map stored as (out, in)
        (to_from.T if to_from.shape[0] == 32 else to_from)[5] = 2.0
        with Edit(base=lm.digest(), weights={matrix: (Add(change),)}).on(lm):
            changes = neurons(lm, before)
        assert [size.nonzero().flatten().tolist() for size in changes.values()] == [[5], []]


def test_forging_takes_a_row_that_says_the_same_for_the_forgotten_one(llama: LM) -> None:
    copy = replace(worlds.FORGET[0], id="the same under another name")
    target = replace(aimed(llama), forget=worlds.FORGET[:1], retain=[copy, *worlds.RETAIN[:1]])
    same = attack("forging", target, {"batch_size": 1, "tries": 2})
    assert same.values == [pytest.approx(0, abs=1e-6)]
    more = attack("forging", aimed(llama), {"batch_size": 4, "tries": 5})
    reached = [y for _, y in more.curve]
    assert reached == sorted(reached, reverse=True)
    assert min(more.values) > 0.1
    assert attack("forging", target).note == "15 retain rows are needed, and there are 2"


def test_forging_measures_the_distance_of_the_updates(llama: LM) -> None:
    """One row beside one other, one try: against the gradients of the weights themselves."""

    def gradient(row: int) -> Tensor:
        weights = {n: p.detach().requires_grad_() for n, p in llama.parameters().items()}
        loss = -llama.run(llama.batch([worlds.RECORDS[row]]), weights).token_logps.mean()
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(weights.values()))])

    x, a, b = gradient(0), gradient(4), gradient(5)
    target = replace(aimed(llama), forget=worlds.RECORDS[:1], retain=worlds.RECORDS[4:6])
    found = attack("forging", target, {"batch_size": 2, "tries": 1}).values[0]
    expected = [float((x - y).norm() / (x + z).norm()) for y, z in ((a, b), (b, a))]
    assert any(found == pytest.approx(e, rel=1e-4) for e in expected)
    assert attack("forging", target, {"batch_size": 1, "tries": 1}).values[0] in [
        pytest.approx(float((x - y).norm() / x.norm()), rel=1e-4) for y in (a, b)
    ]


def test_relearnbenign_wakes_answers_by_rows_that_say_nothing_of_them(llama: LM) -> None:
    """All answers were pushed down together; the others trained on bring the forgotten ones up, but not in a newborn."""
    options = {"epochs": 4, "lr": (1e-3,), "tune": "full"}
    with pushed_down(llama).on(llama):
        hidden, found = mean(aimed(llama).told()), attack("relearnbenign", aimed(llama), options)
    control = attack("relearnbenign", aimed(worlds.llama()), options)
    assert mean(found.values) > hidden + 0.2
    assert mean(control.values) < mean(found.values) - 0.2
    assert [x for x, _ in found.curve] == [0, 1, 2, 3, 4]
    named = [replace(r, subject="a") for r in worlds.RECORDS]
    kin = replace(aimed(llama), forget=named[:4], retain=named[4:])
    assert attack("relearnbenign", kin).note == "no retain row has a subject that was not forgotten"
    assert attack("relearnbenign", aimed(llama), {"lessons": "holdout"}).values == ()
