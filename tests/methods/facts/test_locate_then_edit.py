"""What defines each method that writes facts into linear maps, on a model that knows facts by their subjects."""

import pytest
import torch
from golden_edits import Golden, apart
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.patches import AddOuter
from unteach.lm.stats import mlp_out
from unteach.methods.facts.alphaedit import AlphaEdit
from unteach.methods.facts.directions import unused
from unteach.methods.facts.emmet import EMMET
from unteach.methods.facts.keys import keys_at, states_at
from unteach.methods.facts.memit import MEMIT
from unteach.methods.facts.pmet import PMET
from unteach.methods.facts.rome import ROME
from unteach.methods.facts.rrome import RROME
from unteach.methods.facts.solve import spread_aside, spread_evenly, spread_exactly
from unteach.methods.facts.spot import asking, spot
from unteach.methods.facts.values import Search, seek
from unteach.schema import Fact, InputError, Request

SHORT = Search(steps=8)
TAG = "memit_batch10"


def one_of(golden: Golden, count: int = 1) -> tuple[Fact, ...]:
    return golden.facts(TAG)[:count]


def told(golden: Golden) -> tuple[str, ...]:
    return golden.contexts("memit_nested")


def change(golden: Golden, edit: Edit) -> Tensor:
    """The change (out, in) of the one weight that an edit changes."""
    ((_, delta),) = edit.delta(golden.lm).items()
    return delta.T if golden.family == "gpt2" else delta


def test_rome_writes_the_value_at_the_key_and_moves_other_keys_least(golden: Golden) -> None:
    (fact,), path = one_of(golden), mlp_out(golden.lm, 1)
    edit = ROME(layer=1, search=SHORT, forms=told(golden))(golden.lm, Request(facts=[fact]))
    bare = [spot(golden.lm, fact.prompt, fact.subject)]
    site = path.removeprefix(f"{path.partition('.1.')[0]}.1.")
    wanted = seek(golden.lm, [fact], told(golden), [site], 1, SHORT).after[0]
    with edit.on(golden.lm):
        assert apart(states_at(golden.lm, bare, path), wanted) < 1e-5
    moved, c = change(golden, edit).double(), golden.moments([1]).of[1].double()
    key = keys_at(golden.lm, bare, path)[0].double()
    plain = torch.outer(moved @ key, key) / (key @ key)  # the same value at the same key, without the moments
    assert apart(plain @ key, moved @ key) < 1e-9
    assert torch.trace(moved @ c @ moved.T) < torch.trace(plain @ c @ plain.T)


def test_rrome_meets_the_value_at_the_mean_key(golden: Golden) -> None:
    (fact,), path = one_of(golden), mlp_out(golden.lm, 1)
    edit = RROME(layer=1, search=SHORT, forms=told(golden))(golden.lm, Request(facts=[fact]))
    mean = keys_at(golden.lm, asking(golden.lm, fact, told(golden)), path).mean(0)
    site = path.removeprefix(f"{path.partition('.1.')[0]}.1.")
    found = seek(golden.lm, [fact], told(golden), [site], 1, SHORT)
    assert apart(change(golden, edit) @ mean, (found.after[0] - found.before[0])[0]) < 1e-5


def test_memit_writes_many_facts_at_once_and_equals_the_dense_solution(golden: Golden) -> None:
    edit = MEMIT(layers="0-1", search=SHORT, forms=told(golden))(golden.lm, Request(facts=one_of(golden, 4)))
    assert set(edit.weights) == {f"{mlp_out(golden.lm, n)}.weight" for n in (0, 1)}
    for (patch,) in edit.weights.values():
        assert isinstance(patch, AddOuter)
        assert 4 in (patch.left.shape[1], patch.right.shape[0])
    keys, moments = torch.randn(4, len(golden.moments([0]).of[0])), golden.moments([0])
    k, c = keys.double().T, moments.of[0].double()
    dense = torch.linalg.solve(7.0 * c + k @ k.T, k).T
    assert apart(spread_evenly(keys, moments.factor(0), 7.0), dense) < 1e-9


def test_emmet_meets_its_values_and_with_one_fact_is_rome(golden: Golden) -> None:
    moments, dice = golden.moments([1]), torch.Generator().manual_seed(1)
    keys = torch.randn(3, len(moments.of[1]), generator=dice, dtype=torch.float64)
    right = spread_exactly(keys, moments.factor(1), 1e-12)
    assert apart(right @ keys.T, torch.eye(3)) < 1e-6
    u = torch.cholesky_solve(keys[:1].T, moments.factor(1))[:, 0]
    assert apart(spread_exactly(keys[:1], moments.factor(1), 1e-12)[0], u / (u @ keys[0])) < 1e-6
    facts, path = one_of(golden, 3), mlp_out(golden.lm, 1)
    edit = EMMET(layers="1", ridge=1e-9, search=SHORT, forms=("{}",))(golden.lm, Request(facts=facts))
    bare = [spot(golden.lm, f.prompt, f.subject) for f in facts]
    block = path.partition(".1.")[0] + ".1"
    with edit.on(golden.lm):
        reached = states_at(golden.lm, bare, block)
    assert apart(reached, seek(golden.lm, facts, ("{}",), [""], 1, SHORT).after[0]) < 1e-4


def test_pmet_moves_the_mlp_alone_by_the_root_of_the_layers_to_go(golden: Golden) -> None:
    facts, path = one_of(golden, 2), mlp_out(golden.lm, 1)
    edit = PMET(layers="0-1", search=SHORT, forms=("{}",), weight=1e-6)(golden.lm, Request(facts=facts))
    assert set(edit.weights) == {f"{mlp_out(golden.lm, n)}.weight" for n in (0, 1)}
    site, attention = path.partition(".1.")[2], "attn.c_proj" if golden.family == "gpt2" else "self_attn.o_proj"
    found = seek(golden.lm, facts, ("{}",), [site, attention], 1, SHORT)
    bare = [spot(golden.lm, f.prompt, f.subject) for f in facts]
    with edit.on(golden.lm):
        assert (
            apart(states_at(golden.lm, bare, path), found.after[0]) < 1e-3
        )  # the last layer makes up all that is missing


def test_alphaedit_leaves_the_directions_that_text_uses_as_they_are(golden: Golden) -> None:
    moment = golden.moments([1]).of[1]
    null = unused(moment, 0.05 * float(moment.diagonal().mean()))
    assert 0 < torch.trace(null) < len(moment)
    edit = AlphaEdit(layers="1", search=SHORT, forms=("{}",))(golden.lm, Request(facts=one_of(golden, 3)))
    moved = change(golden, edit).double()
    assert (moved @ (torch.eye(len(null)) - null)).norm() < 1e-6 * moved.norm()
    dice = torch.Generator().manual_seed(2)
    keys, kept = (torch.randn(n, len(null), generator=dice).double() for n in (3, 2))
    dense = torch.linalg.solve(null @ (keys.T @ keys + kept.T @ kept) + 2.0 * torch.eye(len(null)), null @ keys.T).T
    assert apart(spread_aside(keys, kept, null, 2.0), dense) < 1e-9


@pytest.mark.parametrize("threshold", [-1.0, 0.3, 0.51, 0.8, 2.0])
@pytest.mark.parametrize("size", [1, 2, 3, 40])
def test_directions_below_a_threshold_are_told_from_the_others(size: int, threshold: float) -> None:
    dice = torch.Generator().manual_seed(size)
    every, _ = torch.linalg.qr(torch.randn(size, size, generator=dice, dtype=torch.float64))
    sizes = torch.linspace(0, 1, size, dtype=torch.float64)
    below = sizes < threshold
    wanted = every[:, below] @ every[:, below].T
    moment = every @ sizes.diag() @ every.T
    found = unused((moment + moment.T) / 2, threshold)
    assert (found - wanted).norm() < 1e-12 * size
    assert not found.requires_grad


@pytest.mark.parametrize("word", ["x", "1,1", "2-1", "9", "1,,2"])
def test_layers_that_are_none_are_refused(golden: Golden, word: str) -> None:
    with pytest.raises(InputError, match="layer"):
        MEMIT(layers=word, search=SHORT, forms=("{}",))(golden.lm, Request(facts=one_of(golden)))


def test_two_answers_to_one_question_are_refused(golden: Golden) -> None:
    (fact,) = one_of(golden)
    other = Fact("other", fact.prompt, fact.subject, "Nowhere")
    with pytest.raises(InputError, match="fact 'other': the same question asks for another answer"):
        MEMIT(forms=("{}",))(golden.lm, Request(facts=[fact, other]))


def test_a_subject_is_found_by_its_characters(golden: Golden) -> None:
    tokens = golden.lm.tokenizer.convert_ids_to_tokens
    for form, subject in (
        ("{} was born in", "Ada"),
        ("Ada says that {} was born in", "Ada"),
        ("In {}'s house", "Montrox Vourno"),
    ):
        found = spot(golden.lm, form, subject)
        before = form.partition("{}")[0] + subject
        whole = golden.lm.encoder.prompt(before)
        assert found.at == len(whole) - 1
        assert tokens(found.row.ids[: found.at + 1]) == tokens(whole)
