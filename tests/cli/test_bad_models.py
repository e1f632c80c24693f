"""Models, adapters and results that are damaged, incomplete or hostile: refused like any other bad input."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_bad_input import FORGET, Place

Damage = Callable[[Path], object]
WEIGHTS, LAYER = "model.safetensors", "model.layers.1.mlp.up_proj.weight"
DAMAGED = "model: a safetensors file is damaged; copy or save the model again"
UNFIT = "model: its files do not fit together.*; save the model"


@pytest.fixture
def place(tmp_path: Path, newborn: Path) -> Place:
    return Place(tmp_path, newborn)


def settings(file: str, **values: object) -> Damage:
    """Damage that changes keys of a JSON file."""

    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | values))

    return change


def content(file: str, new: bytes) -> Damage:
    return lambda folder: (folder / file).write_bytes(new)


def gone(*files: str) -> Damage:
    return lambda folder: [(folder / file).unlink() for file in files]


def renamed(file: str, new: str) -> Damage:
    return lambda folder: (folder / file).rename(folder / new)


def bytes_of(change: Callable[[bytes], bytes], file: str = WEIGHTS) -> Damage:
    return lambda folder: (folder / file).write_bytes(change((folder / file).read_bytes()))


def tensors(change: Callable[[dict[str, torch.Tensor]], object], file: str = WEIGHTS) -> Damage:
    def changed(folder: Path) -> None:
        state = {n: t.clone() for n, t in load_file(folder / file).items()}
        change(state)
        save_file(state, folder / file, metadata={"format": "pt"})

    return changed


def flipped(at: int, bit: int = 0) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]


def headed(header: object) -> Callable[[bytes], bytes]:
    """The file with another header over its tensors."""
    text = json.dumps(header).encode()
    return lambda raw: struct.pack("<Q", len(text)) + text + raw[8 + int.from_bytes(raw[:8], "little") :]


def code_of_its_own(folder: Path) -> None:
    """A model that brings a Python file, which would leave a trace beside the folder."""
    (folder / "modeling_own.py").write_text(f"open({str(folder.parent / 'trace')!r}, 'w')\n")
    names = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.Own"}
    settings("config.json", model_type="own", auto_map=names)(folder)


def words_of_its_own(folder: Path) -> None:
    (folder / "tokenization_own.py").write_text(f"open({str(folder.parent / 'trace')!r}, 'w')\n")
    names = {"AutoTokenizer": ["tokenization_own.Own", None]}
    settings("tokenizer_config.json", tokenizer_class="Own", auto_map=names)(folder)
    (folder / "tokenizer.json").unlink()


def as_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"model")


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


MODELS: dict[str, tuple[Damage, str]] = {
    "nothing there": (shutil.rmtree, "model: not a model folder; name a folder"),
    "a file": (as_a_file, "model: not a model folder; name a folder"),
    "an empty folder": (emptied, "model: no config.json; name the folder"),
    # The configuration.
    "no config": (gone("config.json"), "model: no config.json; name the folder"),
    "half a config": (content("config.json", b'{"model_type": "lla'), "config.json: not valid JSON; save the model"),
    "an empty config": (content("config.json", b""), "config.json: not valid JSON; save the model"),
    "a config in Latin-1": (content("config.json", b'{"a": "\xe9"}'), "config.json: not valid JSON; save the model"),
    "a config without end": (content("config.json", b"[" * 100_000), "config.json: not valid JSON; save the model"),
    "a list for a config": (content("config.json", b"[1]"), "config.json: not a JSON object; save the model"),
    "no family": (settings("config.json", model_type=None), "config.json: models of type 'None' are not supported"),
    "unknown family": (settings("config.json", model_type="t5"), "models of type 't5' are not supported; supported are"),
    "a list of families": (settings("config.json", model_type=["llama"]), "are not supported; supported are gemma2"),
    "a size in words": (settings("config.json", hidden_size="wide"), UNFIT),
    "a size below 0": (settings("config.json", hidden_size=-64), UNFIT),
    "heads that do not divide": (settings("config.json", num_attention_heads=0), UNFIT),
    "an unknown activation": (settings("config.json", hidden_act="magic"), UNFIT),
    "rotations in words": (settings("config.json", rope_parameters="fast"), UNFIT),
    "weights packed by another program": (settings("config.json", quantization_config={"quant_method": "gptq", "bits": 4}), UNFIT),
    "packed by nobody knows whom": (settings("config.json", quantization_config={"quant_method": "magic"}), UNFIT),
    "code of its own": (code_of_its_own, "config.json: models of type 'own' are not supported"),
    # The weights.
    "no weights": (gone(WEIGHTS), "model: no safetensors file; save the model with"),
    "only a pickle": (renamed(WEIGHTS, "pytorch_model.bin"), "pytorch_model.bin: pickled weights can run code and are refused"),
    "only a checkpoint": (renamed(WEIGHTS, "model.pt"), "model.pt: pickled weights can run code and are refused"),
    "a pickle called safetensors": (content(WEIGHTS, pickle.dumps({LAYER: 1})), DAMAGED),
    "an empty file": (content(WEIGHTS, b""), DAMAGED),
    "the last byte missing": (bytes_of(lambda raw: raw[:-1]), DAMAGED),
    "a byte too many": (bytes_of(lambda raw: raw + b"\0"), DAMAGED),
    "half a header": (bytes_of(lambda raw: raw[:60]), DAMAGED),
    "a header of another length": (bytes_of(flipped(0)), DAMAGED),
    "a header without end": (bytes_of(lambda raw: b"\xff" * 8 + raw[8:]), DAMAGED),
    "a bit in the header": (bytes_of(flipped(8, 1)), DAMAGED),
    "a bit in a name": (bytes_of(lambda raw: raw.replace(b"layers.1.mlp", b"layerr.1.mlp", 1)), "model: the weight 'model.layers.1.mlp.* is missing; copy"),
    "tensors over each other": (
        bytes_of(headed({LAYER: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "b": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}})),
        DAMAGED,
    ),
    "a tensor beyond the file": (bytes_of(headed({LAYER: {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}})), DAMAGED),
    "a weight of another shape": (tensors(lambda state: state.update({LAYER: torch.zeros(3, 3)})), UNFIT),
    "a weight missing": (tensors(lambda state: state.pop(LAYER)), f"model: the weight '{LAYER}' is missing; copy or save"),
    "the embedding missing": (tensors(lambda state: state.pop("model.embed_tokens.weight")), "model: the weight '.*' is missing; copy or save"),
    "more layers than weights": (settings("config.json", num_hidden_layers=4), "model: the weight 'model.layers.3.* is missing"),
    "a weight that is no number": (tensors(lambda state: state[LAYER].fill_(float("nan"))), "the loss became infinite at step 0; lower --lr"),
    "a part missing": (
        lambda f: (renamed(WEIGHTS, "model-00001-of-00002.safetensors")(f), settings("model.safetensors.index.json", weight_map={LAYER: "model-00002-of-00002.safetensors"})(f)),
        "model: cannot be opened as a model|model: its files do not fit together",
    ),
    "a broken index": (
        lambda f: (renamed(WEIGHTS, "model-00001-of-00001.safetensors")(f), content("model.safetensors.index.json", b"{")(f)),
        "model: cannot be opened as a model|model: its files do not fit together",
    ),
    # The tokenizer.
    "no tokenizer": (gone("tokenizer.json", "tokenizer_config.json"), "model: cannot be opened|model: its files do not fit"),
    "half a tokenizer": (bytes_of(lambda raw: raw[:1000], "tokenizer.json"), UNFIT),
    "an empty tokenizer": (content("tokenizer.json", b"{}"), UNFIT),
    "a list for a tokenizer": (content("tokenizer.json", b"[]"), UNFIT),
    "a broken tokenizer config": (content("tokenizer_config.json", b"{"), "model: cannot be opened|model: its files do not fit"),
    "a list for its config": (content("tokenizer_config.json", b"[]"), UNFIT),
    "an unknown tokenizer": (settings("tokenizer_config.json", tokenizer_class="Own"), UNFIT),
    "a tokenizer with code of its own": (words_of_its_own, UNFIT),
    "a longest text in words": (settings("tokenizer_config.json", model_max_length="long"), UNFIT),
    "a broken chat template": (settings("tokenizer_config.json", chat_template="{% for m in %}"), UNFIT),
    "a chat template that fails": (settings("tokenizer_config.json", chat_template="{{ 1 + 'a' }}"), UNFIT),
    "a broken generation config": (content("generation_config.json", b"{"), "model: cannot be opened|model: its files do not fit"),
}  # fmt: skip


def larger_vocabulary(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for token in list(tokenizer["model"]["vocab"])[-3:]:
        tokenizer["model"]["vocab"][token] += 1000
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


MODELS["more tokens than the model"] = (larger_vocabulary, "model: its tokenizer has more tokens than the model's")


@pytest.mark.parametrize("what", MODELS)
def test_a_model_that_cannot_be_opened(what: str, place: Place) -> None:
    damage, says = MODELS[what]
    damage(place.model)
    place.refuses(*place.words(FORGET), "--max-new", 4, says=says)
