"""A user's model that is itself an adapter on a base: it is what is forgotten from, and it is not trained."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM

import worlds
from unteach.edit.bake import bake, save_adapter
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.load import load, quiet
from unteach.lm.model import LM
from unteach.lm.view import View

PLAN = Plan(rank=2, lora_alpha=4, epochs=2, lr=3e-3, batch_size=2, accumulate=1)


@pytest.fixture
def base(lm: LM, tmp_path: Path) -> Path:
    return worlds.saved(lm, tmp_path / "base")


@pytest.fixture
def adapted(base: Path, tmp_path: Path) -> LM:
    return load(worlds.adapter(base, tmp_path / "user"))


def own(lm: LM) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in lm.model.named_parameters() if ".lora_" in n}


@pytest.mark.parametrize("tune", ["lora", "full", "1"])
@pytest.mark.parametrize("needs", [(), ("reference",)])
def test_the_reference_is_the_model_with_the_users_adapter_on(
    adapted: LM, base: Path, tune: str, needs: tuple[str, ...]
) -> None:
    plain, kept, before = load(base), own(adapted), worlds.state(adapted)
    with torch.no_grad():
        mine = {r.id: adapted.logits(adapted.batch([r])) for r in worlds.RECORDS}
        bare = {r.id: plain.logits(plain.batch([r])) for r in worlds.RECORDS}
    gaps: list[tuple[float, float]] = []

    def watching(now: Sides, past: Sides) -> Tensor:
        batch = past.forget._pass.batch
        ids = [i.partition("/")[2] for i in batch.records]
        view = View(past.forget._pass, slice(0, len(ids)))
        rows = [view.logits[batch.offsets[b] : batch.offsets[b + 1]] for b in range(len(ids))]
        gaps.append(
            (
                max((row - mine[i]).abs().max().item() for row, i in zip(rows, ids, strict=True)),
                max((row - bare[i]).abs().max().item() for row, i in zip(rows, ids, strict=True)),
            )
        )
        known = torch.cat([mine[i].log_softmax(-1) for i in ids[: len(past.forget.lengths)]])
        expected = known.gather(1, past.forget.targets[:, None])[:, 0]
        torch.testing.assert_close(past.forget.token_logps, expected, rtol=1e-4, atol=1e-4)
        assert {n for n, p in adapted.model.named_parameters() if p.requires_grad and ".default." in n} == set()
        return now.forget.token_logps.mean() - now.retain.token_logps.mean()

    work = Task(worlds.FORGET, worlds.RETAIN, watching, frozenset({"forget", "retain", *needs}))  # type: ignore[arg-type]
    edit = train(adapted, work, replace(PLAN, tune=tune))[0]
    assert len(gaps) == 4
    assert all(with_it < 1e-4 and without > 0.1 for with_it, without in gaps)
    assert worlds.state(adapted) == before
    assert list(adapted.model.peft_config) == ["default"]
    assert all(torch.equal(t, kept[n]) for n, t in own(adapted).items())
    assert not any(".lora_" in name or "base_layer" in name for name in edit.weights)
    assert edit.weights.keys() <= plain.parameters().keys()


def test_it_is_trained_over_and_over(adapted: LM) -> None:
    work = Task(
        worlds.FORGET, worlds.RETAIN, lambda now, _: now.forget.token_logps.mean(), frozenset({"forget", "retain"})
    )
    digests = {train(adapted, work, PLAN)[0].digest() for _ in range(2)}
    assert len(digests) == 1


def test_the_forget_adapter_lies_beside_the_users_in_peft(adapted: LM, base: Path, tmp_path: Path) -> None:
    work = Task(
        worlds.FORGET, worlds.RETAIN, lambda now, _: now.forget.token_logps.mean(), frozenset({"forget", "retain"})
    )
    edit = train(adapted, work, PLAN)[0]
    batch = adapted.batch(worlds.RECORDS)
    with torch.no_grad(), edit.on(adapted):
        worn = adapted.logits(batch)
    save_adapter(edit, adapted, tmp_path / "forget")
    bake(edit, adapted, tmp_path / "baked")
    with quiet():
        both = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base), tmp_path / "user", adapter_name="user"
        )
        both.load_adapter(tmp_path / "forget", adapter_name="forget")
        both.base_model.set_adapter(["user", "forget"])
        baked = AutoModelForCausalLM.from_pretrained(tmp_path / "baked").eval()
    with torch.no_grad():
        for model, close in ((both.eval(), 1e-5), (baked, 1e-4)):
            found = model(batch.ids, attention_mask=batch.real.long()).logits[:, :-1][batch.answer[:, 1:]]
            torch.testing.assert_close(found, worn, rtol=close, atol=close)
            assert (found - adapted.logits(batch)).abs().max() > 0.1
