"""Facts are written into every supported family: where a row goes on from its middle, it says what it says as a whole."""

import pytest
import torch
from torch import Tensor

import families
from unteach.lm.anatomy import FAMILIES, head
from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.lm.suffix import MANY, Onward, suffixes
from unteach.methods.facts.keys import states_at
from unteach.methods.facts.memit import MEMIT
from unteach.methods.facts.rome import ROME
from unteach.methods.facts.spot import spot
from unteach.methods.facts.values import Search, seek
from unteach.schema import Fact, InputError, Request

FACTS = (
    Fact("a", "What is {} known for?", "Orvena", "a clock"),
    Fact("b", "They say that {} has", "Tarn Hollow", "white horses"),
)
QUICK = Search(steps=4)


def wide(name: str) -> LM:
    """A family with three layers, whose window is longer than any row here."""
    longer = {"sliding_window": 96, "layer_types": ["sliding_attention", "full_attention", "full_attention"]}
    return families.family(name, num_hidden_layers=3, **{k: v for k, v in longer.items() if k in families.OWN[name]})


@pytest.fixture(params=sorted(families.OWN))
def model(request: pytest.FixtureRequest) -> LM:
    return wide(request.param)


def whole(lm: LM, row: Row) -> Tensor:
    """What a row says at its end when it is run from its beginning."""
    return lm.logits(collate([row], [""], pad=lm.pad, device=lm.device))[-1]


@torch.no_grad()
def test_a_row_that_goes_on_from_its_middle_says_what_it_says_as_a_whole(model: LM) -> None:
    spots = [spot(model, f.prompt, f.subject, f.target_new) for f in FACTS]
    rows = suffixes(model, [s.row for s in spots], [s.at for s in spots], 1)
    ends = torch.tensor([len(s.row.ids) - 2 - s.at for s in spots])  # what predicts the last token
    logits = head(model.model, Onward(model, rows, torch.arange(len(spots)), ends)(rows.states))
    torch.testing.assert_close(logits, torch.stack([whole(model, s.row) for s in spots]), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_many_rows_say_what_each_says_alone_and_the_model_is_as_it_was(model: LM) -> None:
    one = spot(model, FACTS[0].prompt, FACTS[0].subject, FACTS[0].target_new)
    attention = model.model.config._attn_implementation
    few = suffixes(model, [one.row], [one.at], 1)
    many = suffixes(model, [one.row] * MANY, [one.at] * MANY, 1)
    row, place = torch.arange(MANY), torch.arange(MANY) % few.states.shape[1]
    alone = torch.cat([Onward(model, few, row[:1], place[n : n + 1])(few.states) for n in range(MANY)])
    torch.testing.assert_close(Onward(model, many, row, place)(many.states), alone, rtol=1e-4, atol=1e-4)
    assert model.model.config._attn_implementation == attention
    assert not [name for name, module in model.model.named_modules() if "forward" in vars(module)]


def test_a_pass_by_the_blocks_alone_is_one_by_the_whole_model(model: LM) -> None:
    """In the forward pass and in its gradient, for other states than those of the first pass."""
    spots = [spot(model, f.prompt, f.subject, f.target_new) for f in FACTS]
    rows = suffixes(model, [s.row for s in spots], [s.at for s in spots], 1)
    row, place = torch.arange(len(spots)), torch.ones(len(spots), dtype=torch.long)
    onward, found = Onward(model, rows, row, place), []
    onward(rows.states)
    for run in (onward, Onward(model, rows, row, place)):
        states = (rows.states * 1.1).requires_grad_()
        said = run(states)
        found.append((said.detach(), torch.autograd.grad(said.square().sum(), states)[0]))
    for again, whole in zip(*found, strict=True):
        torch.testing.assert_close(again, whole, rtol=1e-5, atol=1e-6)


def test_rome_and_memit_reach_their_values_in_every_family(model: LM) -> None:
    site = mlp_out(model, 1).partition(".1.")[2]
    wanted = seek(model, FACTS[:1], ("{}",), [site], 1, QUICK).after[0]
    edit = ROME(layer=1, whitened=False, search=QUICK, forms=("{}",))(model, Request(facts=FACTS[:1]))
    bare = [spot(model, f.prompt, f.subject) for f in FACTS]
    with edit.on(model):
        torch.testing.assert_close(states_at(model, bare[:1], mlp_out(model, 1)), wanted, rtol=1e-3, atol=1e-3)
    written = MEMIT(layers="1", weight=1e-9, search=QUICK, forms=("{}",))(model, Request(facts=FACTS))
    assert set(written.weights) == {f"{mlp_out(model, 1)}.weight"}


def test_one_entry_is_all_that_a_family_of_another_name_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    method, request = MEMIT(layers="1", search=QUICK, forms=("{}",)), Request(facts=FACTS)
    lm = wide("llama")
    known = method(lm, request).delta(lm)
    lm.model.config.model_type = "village"
    with pytest.raises(InputError, match=r"'village' are not supported; .* in an entry of unteach.lm.anatomy.FAMILIES"):
        method(lm, request)
    monkeypatch.setitem(FAMILIES, "village", FAMILIES["llama"])
    found = method(lm, request).delta(lm)
    assert found.keys() == known.keys()
    assert all(torch.equal(found[name], known[name]) for name in known)


def test_a_row_longer_than_the_window_is_refused() -> None:
    lm = families.family("mistral")
    with pytest.raises(InputError, match="attends to 8 at a time"):
        ROME(layer=0, whitened=False, search=QUICK, forms=("{}",))(lm, Request(facts=FACTS[1:]))
