"""Models, adapters and results that are damaged, incomplete or hostile: refused like any other bad input."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from driven import went_well
from safetensors.torch import load_file, save_file
from test_bad_input import AUDIT, FORGET, Place

import worlds

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
    "weights packed by another program": (settings("config.json", quantization_config={"quant_method": "gptq", "bits": 4}), "packed for a package that is not here; install"),
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
    "a weight that is no number": (tensors(lambda state: state[LAYER][1, 2].fill_(float("nan"))), f"model: the weight '{LAYER}' is not finite everywhere; fetch or save"),
    "a weight without bounds": (tensors(lambda state: state[LAYER][0, 0].fill_(float("-inf"))), f"model: the weight '{LAYER}' is not finite everywhere; fetch or save"),
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
    "a tokenizer with code of its own": (words_of_its_own, UNFIT),
    "a longest text in words": (settings("tokenizer_config.json", model_max_length="long"), UNFIT),
    "a broken chat template": (settings("tokenizer_config.json", chat_template="{% for m in %}"), UNFIT),
    "a chat template that fails": (settings("tokenizer_config.json", chat_template="{{ 1 + 'a' }}"), UNFIT),
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


ADAPTERS: dict[str, tuple[Damage, str]] = {
    "of nobody": (settings("adapter_config.json", base_model_name_or_path=None), "adapter: the adapter does not say which model it belongs to; name it with --base"),
    "of a model that is gone": (settings("adapter_config.json", base_model_name_or_path="/gone/away"), "adapter: there is no model at /gone/away, its base; name it with --base"),
    "of a pickled model": (
        lambda f: (settings("adapter_config.json", base_model_name_or_path=str(f.parent / "model"))(f), renamed(WEIGHTS, "model.pt")(f.parent / "model")),
        "model.pt: pickled weights can run code and are refused",
    ),
    "half a config": (content("adapter_config.json", b'{"peft_ty'), "adapter_config.json: not valid JSON; save"),
    "a list for a config": (content("adapter_config.json", b"[]"), "adapter_config.json: not a JSON object; save"),
    "an empty config": (content("adapter_config.json", b"{}"), "adapter: .*; "),
    "an unknown kind": (settings("adapter_config.json", peft_type="MAGIC"), "adapter: its files do not fit together"),
    "another kind": (settings("adapter_config.json", peft_type="PROMPT_TUNING", num_virtual_tokens=2), "adapter: only LoRA adapters are supported; merge"),
    "whole modules": (settings("adapter_config.json", modules_to_save=["lm_head"]), "adapter: the adapter holds more than low-rank terms; merge"),
    "magnitudes": (settings("adapter_config.json", use_dora=True), "adapter: the adapter holds more than low-rank terms; merge"),
    "tokens of its own": (settings("adapter_config.json", trainable_token_indices=[1]), "adapter: the adapter holds more than low-rank terms"),
    "no rank": (settings("adapter_config.json", r=0), "adapter: its files do not fit together"),
    "another rank": (settings("adapter_config.json", r=2), "adapter: its files do not fit together"),
    "modules the model has not": (settings("adapter_config.json", target_modules=["nothing"]), "adapter: its files do not fit together"),
    "fewer modules than weights": (settings("adapter_config.json", target_modules=["q_proj"]), "adapter: its weights are not those that its configuration names; save"),
    "more modules than weights": (settings("adapter_config.json", target_modules=["q_proj", "v_proj", "o_proj"]), "adapter: its weights are not those that its configuration names; save"),
    "no weights": (gone("adapter_model.safetensors"), "adapter: no safetensors file; save"),
    "pickled": (renamed("adapter_model.safetensors", "adapter_model.bin"), "adapter_model.bin: pickled weights can run code and are refused"),
    "cut short": (bytes_of(lambda raw: raw[:-1], "adapter_model.safetensors"), "adapter: a safetensors file is damaged; copy"),
    "a bit in the header": (bytes_of(flipped(8, 1), "adapter_model.safetensors"), "adapter: a safetensors file is damaged; copy"),
    "a weight missing": (
        tensors(lambda state: state.pop(min(state)), "adapter_model.safetensors"),
        "adapter: its weights are not those that its configuration names; save",
    ),
    "a weight that is no number": (tensors(lambda state: next(iter(state.values()))[0, 0].fill_(float("nan")), "adapter_model.safetensors"), "adapter: the weight '.*lora.*' is not finite everywhere; fetch"),
    "no tensor at all": (tensors(lambda state: state.clear(), "adapter_model.safetensors"), "adapter: its weights are not those that its configuration names"),
}  # fmt: skip


@pytest.fixture(scope="session")
def adapted(newborn: Path) -> Path:
    return worlds.adapter(newborn, newborn.parent / "adapted")


@pytest.mark.parametrize("what", ADAPTERS)
def test_an_adapter_that_cannot_be_worn(what: str, place: Place, adapted: Path) -> None:
    damage, says = ADAPTERS[what]
    adapter = Path(shutil.copytree(adapted, place.folder / "adapter"))
    damage(adapter)
    place.refuses(*place.words(FORGET.replace("@model", "@adapter")), says=says)


@pytest.mark.parametrize("role", ["--before", "--retrained"])
def test_a_model_to_compare_with_that_cannot_be_opened(role: str, place: Place) -> None:
    other = Path(shutil.copytree(place.model, place.folder / "other"))
    (other / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes()[:-1])
    place.refuses(*place.words(AUDIT), role, other, says="other: a safetensors file is damaged; copy")
    place.refuses(*place.words(AUDIT.replace("@model", "@other")), says="other: a safetensors file is damaged; copy")
    if role == "--retrained":
        place.refuses(*place.words(FORGET), role, other, says="other: a safetensors file is damaged; copy")


def done(place: Place) -> None:
    """A finished forgetting in the place's `out`."""
    went_well(*place.words(FORGET), "--tune", "0", "--epochs", 1, "--max-new", 2, "--metrics", "probability")


@pytest.fixture(scope="session")
def finished(newborn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = Place(tmp_path_factory.mktemp("finished"), newborn)
    done(place)
    return place.out


def both(*damages: Damage) -> Damage:
    return lambda folder: [damage(folder) for damage in damages]


NO_RUN = "out: no readable run.json; name the folder given to `unteach forget --out`"
BROKEN = "private/sealed: damaged, or sealed with another key; put back a whole copy"
LOST = "out: its private part is gone .*; undo is no longer possible"

RESULTS: dict[str, tuple[str, Damage, str]] = {
    "undo of nothing": ("undo", shutil.rmtree, NO_RUN),
    "undo of a file": ("undo", as_a_file, NO_RUN),
    "undo of an empty folder": ("undo", emptied, NO_RUN),
    "undo without run.json": ("undo", gone("run.json"), NO_RUN),
    "undo of half a run.json": ("undo", content("run.json", b'{"state": "rel'), NO_RUN),
    "undo of a list": ("undo", content("run.json", b"[]"), NO_RUN),
    "undo of a run.json in Latin-1": ("undo", content("run.json", b'{"state": "\xe9"}'), NO_RUN),
    "undo of a run.json without end": ("undo", content("run.json", b"[" * 100_000), NO_RUN),
    "undo of no known state": ("undo", settings("run.json", state=["released"]), NO_RUN),
    "undo without a key": ("undo", gone("private/key"), LOST),
    "undo without the sealed part": ("undo", gone("private/sealed"), LOST),
    "undo with half a key": ("undo", bytes_of(lambda raw: raw[:16], "private/key"), BROKEN),
    "undo with another key": ("undo", bytes_of(flipped(0), "private/key"), BROKEN),
    "undo of a flipped length": ("undo", bytes_of(flipped(7), "private/sealed"), BROKEN),
    "undo of a flipped byte in the front": ("undo", bytes_of(flipped(30), "private/sealed"), BROKEN),
    "undo of a flipped byte at the end": ("undo", bytes_of(lambda raw: flipped(len(raw) - 1)(raw), "private/sealed"), BROKEN),
    "undo of the first half": ("undo", bytes_of(lambda raw: raw[: len(raw) // 2], "private/sealed"), BROKEN),
    "undo of an empty sealed part": ("undo", content("private/sealed", b""), BROKEN),
    "undo without a release": ("undo", lambda f: shutil.rmtree(f / "release"), "release: is gone; copy it back, then undo"),
    "undo of another release": (
        "undo",
        tensors(lambda state: state.update({LAYER: state[LAYER] + 1}), f"release/{WEIGHTS}"),
        "release: changed since it was written; the original cannot be restored there",
    ),
    "undo of a damaged release": ("undo", bytes_of(lambda raw: raw[:-1], f"release/{WEIGHTS}"), "release: changed since it was written;"),
    "finalising nothing": ("finalise", shutil.rmtree, NO_RUN),
    "finalising an empty folder": ("finalise", emptied, NO_RUN),
    "finalising half a run.json": ("finalise", content("run.json", b"{"), NO_RUN),
    "finalising no known state": ("finalise", settings("run.json", state="open"), NO_RUN),
    "finalising a damaged report": ("finalise", bytes_of(lambda raw: raw[:-9], "report.json"), "report.json: the report is not valid JSON; take"),
    "a report of nothing": ("report", shutil.rmtree, "out: cannot be read; name a report.json or its folder"),
    "a report that is missing": ("report", gone("report.json"), "report.json: cannot be read; name a report.json"),
    "half a report": ("report", bytes_of(lambda raw: raw[:99], "report.json"), "report.json: the report is not valid JSON; take"),
    "a report that is a list": ("report", content("report.json", b"[]"), "report.json: the report is not a JSON object; take"),
    "a report in Latin-1": ("report", content("report.json", b'{"title": "\xe9"}'), "report.json: cannot be read; name"),
    "a report without end": ("report", content("report.json", b"[" * 100_000), "report.json: the report is not valid JSON; take"),
    "a report with NaN": ("report", bytes_of(lambda raw: raw.replace(b"null", b"NaN", 1), "report.json"), "report.json: the report is not valid JSON"),
    "a report of another format": ("report", settings("report.json", format="unteach.report/9"), "report.json: the report is not of the format .*; read it with"),
    "a report without scores": ("report", settings("report.json", scores=None), "report.json: the report is damaged at scores: .*; take"),
    "a report of words for numbers": ("report", settings("report.json", scores=[{"model": "a", "set": "b", "metric": "c", "value": "CANARY7391"}]), "report.json: the report is damaged at scores.0.*; take"),
}  # fmt: skip


@pytest.mark.parametrize("what", RESULTS)
def test_a_result_that_is_none(what: str, place: Place, finished: Path) -> None:
    command, damage, says = RESULTS[what]
    shutil.copytree(finished, place.out)
    damage(place.out)
    place.refuses(command, place.out, says=says)


def test_what_was_done_is_not_done_again(place: Place, finished: Path) -> None:
    shutil.copytree(finished, place.out)
    place.refuses(*place.words(FORGET), says="out: holds the result of an earlier run; choose another folder")
    went_well("undo", place.out)
    place.refuses("undo", place.out, says="out: it was undone before; the release holds the original")
    went_well("finalise", place.out)
    place.refuses("finalise", place.out, says="out: it was finalised before; there is no private part")
    place.refuses("undo", place.out, says=LOST)
    place.refuses(*place.words(FORGET), says="out: holds the result of an earlier run; choose another folder")


def test_a_report_that_cannot_be_written_or_drawn(place: Place, finished: Path) -> None:
    shutil.copytree(finished, place.out)
    place.refuses("report", place.out, "--out", place.forget, says="forget.jsonl: this folder cannot be made .*; name")
    place.refuses("report", place.out, "--figures", "bmp", says="Invalid value for '--figures': .*; see")
    place.refuses("report", says="Missing argument 'source'; see")
