"""Every supported family can be trained, worn, released and undone."""

from pathlib import Path

import pytest
import torch

import families
import worlds
from unteach.edit.bake import save_adapter
from unteach.edit.learn import learn
from unteach.edit.patches import AddOuter, Put, through
from unteach.edit.plan import Plan
from unteach.edit.release import read_edit, release, undo
from unteach.lm.anatomy import FAMILIES, anatomy, stored_in_out
from unteach.lm.load import load
from unteach.lm.model import LM


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def patient(request: pytest.FixtureRequest) -> LM:
    return families.family(request.param)


@torch.no_grad()
@pytest.mark.parametrize("tune", ["lora", "full"])
def test_from_training_to_undo(patient: LM, tune: str, tmp_path: Path) -> None:
    before, batch = worlds.state(patient), patient.batch(worlds.RECORDS[:4])
    plain = patient.logits(batch)
    with torch.enable_grad():
        edit = learn(patient, worlds.FORGET, Plan(tune=tune, rank=2, epochs=1, lr=1e-2, batch_size=4, accumulate=1))
    assert worlds.state(patient) == before
    with edit.on(patient):
        taught = patient.logits(batch)
    assert (taught - plain).abs().max() > 1e-3
    release(edit, patient, tmp_path)
    torch.testing.assert_close(load(tmp_path / "release").logits(batch), taught, rtol=1e-4, atol=1e-4)
    assert read_edit(tmp_path).digest() == edit.digest()
    assert undo(tmp_path) == patient.digest()
    assert torch.equal(load(tmp_path / "release").logits(batch), plain)


def test_a_lora_lies_over_every_linear_map_of_the_blocks_and_no_other(patient: LM, tmp_path: Path) -> None:
    edit = learn(patient, worlds.FORGET, Plan(rank=2, epochs=1, batch_size=4))
    inside = anatomy(patient.model).blocks
    maps = {
        f"{path}.weight"
        for path, module in patient.model.named_modules()
        if path.startswith(f"{inside}.") and (isinstance(module, torch.nn.Linear) or stored_in_out(module))
    }
    assert edit.weights.keys() == maps
    for name, chain in edit.weights.items():
        (term,) = chain
        assert isinstance(term, AddOuter)
        assert through(chain, patient.parameters()[name].detach()).shape == patient.parameters()[name].shape
    save_adapter(edit, patient, tmp_path / "adapter")


def test_a_full_training_puts_every_weight_once(patient: LM) -> None:
    edit = learn(patient, worlds.FORGET, Plan(tune="full", epochs=1, batch_size=4))
    assert edit.weights.keys() == patient.parameters().keys()
    assert all(isinstance(p, Put) for chain in edit.weights.values() for p in chain)
