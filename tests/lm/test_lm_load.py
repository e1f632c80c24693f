"""Opening models: what is opened, and the one sentence for everything that is not."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import worlds
from unteach.lm.encoder import Template
from unteach.lm.load import load, quiet
from unteach.lm.model import LM
from unteach.schema import InputError


@pytest.fixture(scope="module")
def whole(llama: LM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.saved(llama, tmp_path_factory.mktemp("models") / "whole")


@pytest.fixture(scope="module")
def adapted(whole: Path) -> Path:
    return worlds.adapter(whole, whole.parent / "adapted")


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture
def adapter(adapted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapted, tmp_path / "adapter"))


def set_in(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_model_is_opened_as_it_was_saved(whole: Path, llama: LM) -> None:
    lm = load(whole)
    assert (lm.digest(), lm.source, lm.adapter, lm.layers) == (llama.digest(), str(whole), None, 3)
    assert not lm.model.training
    assert load(str(whole)).digest() == llama.digest()


def test_on_a_cpu_everything_is_float32_unless_asked(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    save_file({n: t.bfloat16() for n, t in weights.items()}, model / "model.safetensors", metadata={"format": "pt"})
    set_in(model / "config.json", dtype="bfloat16")
    assert {p.dtype for p in load(model).parameters().values()} == {torch.float32}
    assert {p.dtype for p in load(model, dtype="bfloat16").parameters().values()} == {torch.bfloat16}


def test_a_release_says_how_its_text_is_laid_out(model: Path) -> None:
    said = {"pattern": "Q {prompt} A {answer}", "eos": False, "system": ""}
    (model / "unteach.json").write_text(json.dumps({"template": said}))
    assert load(model).template == Template("Q {prompt} A {answer}", eos=False)
    assert load(model, template=Template()).template == Template()  # what the caller says goes first
    (model / "unteach.json").write_text("{not json")
    assert load(model).template == Template()


def test_an_adapter_is_put_on_its_base(whole: Path, adapted: Path) -> None:
    lm = load(adapted)
    with quiet():
        theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(whole), adapted)
    batch = lm.batch(worlds.RECORDS[:4])
    expected = theirs(batch.ids, attention_mask=batch.real.long()).logits[:, :-1][batch.answer[:, 1:]]
    torch.testing.assert_close(lm.logits(batch), expected, rtol=1e-5, atol=1e-5)
    base = load(whole)
    assert (lm.logits(batch) - base.logits(batch)).abs().max() > 0.1
    assert lm.parameters().keys() == base.parameters().keys()
    assert lm.digest() != base.digest()
    assert lm.adapter.base_model_name_or_path == str(whole)


def test_an_adapter_whose_base_has_moved(adapter: Path, whole: Path, adapted: Path) -> None:
    set_in(adapter / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(InputError, match="does not say which model it belongs to; name it with --base"):
        load(adapter)
    assert load(adapter, base=whole).digest() == load(adapted).digest()


def pickled(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
        file.unlink()


def truncated(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-100])


def half_header(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:40])


def of_another_shape(folder: Path) -> None:
    set_in(folder / "config.json", hidden_size=32)


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def lacking_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def index_to_nowhere(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickled": (
        pickled,
        "pytorch_model.bin: pickled weights can run code and are refused; save the model as safetensors",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no safetensors file; save the model"),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json; name the folder"),
    "config of half a line": (lambda f: (f / "config.json").write_text('{"model_type":'), "not valid JSON; save"),
    "config that is a list": (lambda f: (f / "config.json").write_text("[1]"), "not a JSON object; save"),
    "deep config": (lambda f: (f / "config.json").write_text("[" * 100_000), "not valid JSON; save"),
    "unknown family": (lambda f: set_in(f / "config.json", model_type="t5"), "models of type 't5' are not supported"),
    "truncated": (truncated, "a safetensors file is damaged; copy or save the model again"),
    "half a header": (half_header, "a safetensors file is damaged; copy or save the model again"),
    "another shape": (of_another_shape, "its files do not fit together"),
    "a weight is missing": (lacking_a_weight, "the weight 'model.layers.1.mlp.up_proj.weight' is missing; copy"),
    "no tokenizer": (without_tokenizer, "its files do not fit together|cannot be opened"),
    "a shard is missing": (index_to_nowhere, "cannot be opened|do not fit"),
}


@pytest.mark.parametrize("what", MODELS)
def test_what_is_no_model_is_refused_in_a_sentence(what: str, model: Path) -> None:
    damage, sentence = MODELS[what]
    damage(model)
    with pytest.raises(InputError, match=sentence) as refused:
        load(model)
    assert str(model) in str(refused.value)
    assert "\n" not in str(refused.value)


ADAPTERS: dict[str, tuple[dict[str, object], str]] = {
    "not LoRA": ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2}, "only LoRA adapters are supported"),
    "whole modules": ({"modules_to_save": ["lm_head"]}, "holds more than low-rank terms; merge it into its base"),
    "DoRA": ({"use_dora": True}, "holds more than low-rank terms; merge it into its base"),
    "of another model": ({"target_modules": ["nothing"]}, "do not fit together"),
}


@pytest.mark.parametrize("what", ADAPTERS)
def test_an_adapter_that_cannot_be_worn_is_refused(what: str, adapter: Path) -> None:
    settings, sentence = ADAPTERS[what]
    set_in(adapter / "adapter_config.json", **settings)
    with pytest.raises(InputError, match=sentence):
        load(adapter)


@pytest.mark.parametrize("damage", [pickled, truncated, half_header])
def test_a_damaged_adapter_is_refused(damage: Callable[[Path], None], adapter: Path) -> None:
    damage(adapter)
    with pytest.raises(InputError, match=r"pickled weights can run code|a safetensors file is damaged"):
        load(adapter)


def test_a_place_that_holds_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"\x80\x04.")
    for place in (file, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"not a model folder; name a folder|no config.json"):
            load(place)
    with pytest.raises(InputError, match=r"neither a folder nor a hub id|cannot be opened"):
        load("a/b/c")
