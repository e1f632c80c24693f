"""Facts are written into every supported family: where a row goes on from its middle, it says what it says as a whole."""

import pytest
import torch
from torch import Tensor

import families
from unteach.lm.anatomy import head
from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.lm.suffix import run_on, suffixes
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
    found = run_on(model, rows, rows.states)
    ends = [len(s.row.ids) - 2 - s.at for s in spots]  # what predicts the last token
    logits = head(model.model, torch.stack([found[n, end] for n, end in enumerate(ends)]))
    torch.testing.assert_close(logits, torch.stack([whole(model, s.row) for s in spots]), rtol=1e-4, atol=1e-4)


def test_rome_and_memit_reach_their_values_in_every_family(model: LM) -> None:
    site = mlp_out(model, 1).partition(".1.")[2]
    wanted = seek(model, FACTS[:1], ("{}",), [site], 1, QUICK).after[0]
    edit = ROME(layer=1, whitened=False, search=QUICK, forms=("{}",))(model, Request(facts=FACTS[:1]))
    bare = [spot(model, f.prompt, f.subject) for f in FACTS]
    with edit.on(model):
        torch.testing.assert_close(states_at(model, bare[:1], mlp_out(model, 1)), wanted, rtol=1e-3, atol=1e-3)
    written = MEMIT(layers="1", weight=1e-9, search=QUICK, forms=("{}",))(model, Request(facts=FACTS))
    assert set(written.weights) == {f"{mlp_out(model, 1)}.weight"}


def test_a_row_longer_than_the_window_is_refused() -> None:
    lm = families.family("mistral")
    with pytest.raises(InputError, match="attends to 8 at a time"):
        ROME(layer=0, whitened=False, search=QUICK, forms=("{}",))(lm, Request(facts=FACTS[1:]))
