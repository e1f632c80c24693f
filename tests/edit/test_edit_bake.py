"""What is written for others to load: whole models, and adapters for PEFT."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import changes
import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

import worlds
from unteach.edit.bake import bake, save_adapter
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import Put
from unteach.edit.plan import Plan
from unteach.lm.encoder import Template
from unteach.lm.load import load, quiet
from unteach.lm.model import LM
from unteach.schema import InputError

LORA = Plan(rank=2, lora_alpha=4, epochs=2, lr=3e-3, batch_size=4, accumulate=1)


def plain(folder: Path) -> Any:
    """What plain `transformers` makes of a folder."""
    with quiet():
        return AutoModelForCausalLM.from_pretrained(folder).eval()


@torch.no_grad()
def logits(model: Any, lm: LM) -> Tensor:
    batch = lm.batch(worlds.RECORDS[:6])
    found: Tensor = model(batch.ids, attention_mask=batch.real.long()).logits[:, :-1][batch.answer[:, 1:]]
    return found


def worn(lm: LM, edit: Edit) -> Tensor:
    with edit.on(lm), torch.no_grad():
        return lm.logits(lm.batch(worlds.RECORDS[:6]))


@pytest.fixture
def based(lm: LM, tmp_path: Path) -> LM:
    """The tiny model, opened from a folder."""
    return load(worlds.saved(lm, tmp_path / "base"))


@pytest.fixture
def adapted(based: LM, tmp_path: Path) -> LM:
    """A user's adapter on it."""
    return load(worlds.adapter(Path(based.source), tmp_path / "user"))


def test_a_baked_model_loads_in_plain_transformers(lm: LM, tmp_path: Path) -> None:
    edit, before, config = changes.on_weights(lm), worlds.state(lm), lm.model.config.to_dict()
    digest = bake(edit, lm, tmp_path / "out")
    torch.testing.assert_close(logits(plain(tmp_path / "out"), lm), worn(lm, edit), rtol=1e-4, atol=1e-4)
    assert load(tmp_path / "out").digest() == digest != lm.digest()
    assert (worlds.state(lm), lm.model.config.to_dict()) == (before, config)
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("What is Sella?")["input_ids"] == lm.tokenizer("What is Sella?")["input_ids"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_without_an_edit_it_is_the_model_itself(lm: LM, tmp_path: Path) -> None:
    assert bake(None, lm, tmp_path / "out") == lm.digest()
    assert torch.equal(logits(plain(tmp_path / "out"), lm), logits(lm.model, lm))


def test_a_release_keeps_the_layout_of_its_text(llama: LM, tmp_path: Path) -> None:
    template = Template("Q {prompt} A {answer}", eos=False, system="S")
    bake(None, LM(llama.model, llama.tokenizer, template=template), tmp_path / "out")
    assert load(tmp_path / "out").template == template


def test_a_put_on_tied_embeddings_is_baked_at_both_ends(lm: LM, tmp_path: Path) -> None:
    tied = changes.places(lm)[2]
    edit = Edit(lm.digest(), {tied: (Put(changes.drawn(*lm.parameters()[tied].shape)),)})
    bake(edit, lm, tmp_path / "out")
    found = plain(tmp_path / "out")
    assert found.get_input_embeddings().weight is found.get_output_embeddings().weight
    torch.testing.assert_close(logits(found, lm), worn(lm, edit), rtol=1e-5, atol=1e-5)


def test_the_old_folder_is_replaced_as_a_whole(llama: LM, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stray.safetensors").write_bytes(b"old")
    bake(None, llama, tmp_path / "out")
    assert not (tmp_path / "out" / "stray.safetensors").exists()


def test_what_weights_cannot_express_is_not_baked(lm: LM, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="acts while the model runs and cannot be baked into weights"):
        bake(changes.on_activations(lm), lm, tmp_path / "out")
    hiding = replace(changes.low_rank(lm), activations=changes.on_activations(lm).activations)
    for edit in (changes.on_weights(lm), changes.on_activations(lm), hiding, Edit(lm.digest())):
        with pytest.raises(
            InputError, match="only an edit trained as LoRA can be released as an adapter; use --release"
        ):
            save_adapter(edit, lm, tmp_path / "out")
    nowhere = Edit(lm.digest(), {"model.nowhere.weight": (Put(torch.zeros(1)),)})
    with pytest.raises(InputError, match=r"no weight 'model.nowhere.weight'"):
        bake(nowhere, lm, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_edit_of_another_model_is_not_written(lm: LM, tmp_path: Path) -> None:
    stranger = replace(changes.low_rank(lm), base="0" * 64)
    for write in (bake, save_adapter):
        with pytest.raises(InputError, match="made on another model"):
            write(stranger, lm, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_loads_in_peft(based: LM, tmp_path: Path) -> None:
    for name, edit in {"drawn": changes.low_rank(based), "trained": learn(based, worlds.FORGET, LORA)}.items():
        save_adapter(edit, based, tmp_path / name)
        with quiet():
            found = PeftModel.from_pretrained(plain(Path(based.source)), tmp_path / name)
        torch.testing.assert_close(logits(found, based), worn(based, edit), rtol=1e-5, atol=1e-5)
        ours = load(tmp_path / name)
        torch.testing.assert_close(logits(ours.model, based), worn(based, edit), rtol=1e-5, atol=1e-5)


def test_an_adapter_of_terms_of_different_ranks(based: LM, tmp_path: Path) -> None:
    first, last, _ = changes.places(based)
    weights = {n: (changes.outer(based.parameters()[n], 0, rank),) for n, rank in ((first, 1), (last, 3))}
    edit = Edit(based.digest(), weights)
    save_adapter(edit, based, tmp_path / "out")
    with quiet():
        found = PeftModel.from_pretrained(plain(Path(based.source)), tmp_path / "out")
    torch.testing.assert_close(logits(found, based), worn(based, edit), rtol=1e-5, atol=1e-5)
    sites = {n for n, _ in found.named_modules() if n.endswith(".lora_A")}
    assert {n.removeprefix("base_model.model.").removesuffix(".lora_A") + ".weight" for n in sites} == {first, last}


def test_an_adapter_of_a_model_that_came_from_no_folder(lm: LM, tmp_path: Path) -> None:
    save_adapter(changes.low_rank(lm), lm, tmp_path / "out")
    assert str(Path.cwd()) not in (tmp_path / "out" / "adapter_config.json").read_text()
    with pytest.raises(InputError, match="does not say which model it belongs to"):
        load(tmp_path / "out")
    load(tmp_path / "out", base=worlds.saved(lm, tmp_path / "base"))


def test_a_users_adapter_is_baked_with_the_edit_over_it(adapted: LM, tmp_path: Path) -> None:
    before = worlds.state(adapted)
    for name, edit in {"none": None, "drawn": changes.on_weights(adapted), "low": changes.low_rank(adapted)}.items():
        bake(edit, adapted, tmp_path / name)
        expected = logits(adapted.model, adapted) if edit is None else worn(adapted, edit)
        torch.testing.assert_close(logits(plain(tmp_path / name), adapted), expected, rtol=1e-4, atol=1e-4)
    assert worlds.state(adapted) == before


def test_two_adapters_over_one_base(adapted: LM, based: LM, tmp_path: Path) -> None:
    """The user's adapter stays as it is; the forget adapter is a second one beside it."""
    edit = learn(adapted, worlds.FORGET, LORA)
    save_adapter(edit, adapted, tmp_path / "forget")
    with quiet():
        found = PeftModel.from_pretrained(plain(Path(based.source)), tmp_path / "user", adapter_name="user")
        found.load_adapter(tmp_path / "forget", adapter_name="forget")
    found.base_model.set_adapter(["user", "forget"])
    torch.testing.assert_close(logits(found, adapted), worn(adapted, edit), rtol=1e-5, atol=1e-5)
    bake(edit, adapted, tmp_path / "baked")
    torch.testing.assert_close(logits(plain(tmp_path / "baked"), adapted), worn(adapted, edit), rtol=1e-4, atol=1e-4)
