"""The first blocks of a model are a model that says what the model would say if it ended there."""

from pathlib import Path

import pytest
import torch

import families
import worlds
from unteach.edit.shallow import shallow
from unteach.lm.anatomy import FAMILIES, anatomy, head
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import InputError


@pytest.mark.parametrize("name", sorted(FAMILIES))
@torch.no_grad()
def test_the_first_blocks_say_what_the_model_would_say_if_it_ended_there(name: str) -> None:
    lm = families.family(name)
    batch = lm.batch(worlds.RECORDS[:3])
    ended = lm.model.get_submodule(anatomy(lm.model).norm)(lm.run(batch).hidden(0))
    first = shallow(lm, 1)
    assert first.layers == 1
    torch.testing.assert_close(first.logits(batch), head(lm.model, ended), atol=1e-5, rtol=1e-5)
    every = shallow(lm, 99)
    assert every.layers == lm.layers
    assert torch.equal(every.logits(batch), lm.logits(batch))


@torch.no_grad()
def test_its_memory_is_its_own_and_an_adapter_is_merged(llama: LM, tmp_path: Path) -> None:
    digest, drawn = llama.digest(), torch.random.get_rng_state()
    first = shallow(llama, 2)
    for parameter in first.parameters().values():
        parameter.zero_()
    assert llama.digest() == digest
    assert torch.equal(torch.random.get_rng_state(), drawn)
    base = worlds.saved(llama, tmp_path / "base")
    worn = load(worlds.adapter(base, tmp_path / "adapter"), base=base)
    batch = worn.batch(worlds.RECORDS[:3])
    torch.testing.assert_close(shallow(worn, 99).logits(batch), worn.logits(batch), atol=1e-4, rtol=1e-4)


def test_quantised_weights_are_refused(llama: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torch.nn.Parameter(torch.zeros(2, dtype=torch.uint8), requires_grad=False)
    monkeypatch.setattr(LM, "parameters", lambda _self: {"packed": whole})
    with pytest.raises(InputError, match="quantised"):
        shallow(llama, 1)
