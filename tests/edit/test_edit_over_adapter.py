"""A release over a user's own adapter is opened with both."""

from pathlib import Path

import pytest
import torch

import worlds
from unteach.edit.bake import save_adapter
from unteach.edit.plan import Plan
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune
from unteach.schema import InputError, Request


def test_an_adapter_release_over_a_users_adapter_wears_both(lm: LM, tmp_path: Path) -> None:
    user = worlds.adapter(worlds.saved(lm, tmp_path / "base"), tmp_path / "user")
    lm = load(user)
    plan = Plan(lr=1e-2, epochs=2, batch_size=4, accumulate=1)
    edit = Finetune("npo", plan=plan)(lm, Request(worlds.FORGET, worlds.RETAIN))
    save_adapter(edit, lm, tmp_path / "release")
    batch = lm.batch(worlds.RECORDS)
    with torch.no_grad():
        found = load(tmp_path / "release").logits(batch)
        alone = lm.logits(batch)
        with edit.on(lm):
            worn = lm.logits(batch)
    torch.testing.assert_close(found, worn, atol=1e-5, rtol=1e-5)
    assert (found - alone).abs().max() > 0.1
    user.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="put it back"):
        load(tmp_path / "release")
