"""Opening a model: a folder or a hub id, a whole model or a user's LoRA adapter on a base; safetensors only."""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from huggingface_hub.errors import HFValidationError
from peft import PeftConfig, PeftModel, get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as hf_logging

from unteach.lm.address import is_url
from unteach.lm.anatomy import FAMILIES, unknown
from unteach.lm.encoder import Template
from unteach.lm.model import LM
from unteach.schema import InputError

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


def load(
    source: str | Path, *, template: Template | None = None, base: str | Path | None = None,
    device: str = "", dtype: str = "",
) -> LM:  # fmt: skip
    """Open the model at a path or hub id.

    An adapter folder (PEFT) is put on its base model, which `base` may name where the adapter's own
    configuration points elsewhere. On a CPU everything is float32. Raises `InputError` for what cannot be
    opened: no such model, pickled weights, a family without an anatomy, a damaged file, weights that are no numbers.
    """
    where = str(source)
    local = Path(source).is_dir()
    if is_url(where):
        raise InputError("a URL is a served model, which has no weights to open; name a folder or a hub id")
    if local:
        inspect(Path(source))
    elif Path(source).exists() or where.startswith((".", "/", "~")):
        raise InputError(f"{where}: not a model folder; name a folder with config.json and safetensors, or a hub id")
    template = template or _said(Path(source))
    with quiet(), _explained(where):
        if local and (Path(source) / "adapter_config.json").is_file():
            lm = _with_adapter(where, base, template, device, dtype)
        else:
            lm = LM(_model(where, device, dtype), _tokenizer(where), template=template, source=where)
        _match(lm.model, lm.tokenizer, where)
        if name := unbounded(lm.model.named_parameters()):
            raise InputError(f"{where}: the weight '{name}' is not finite everywhere; fetch or save the model again")
    return lm


def unbounded(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """The name of the first tensor that holds what is no finite number; empty where all are finite."""
    for name, tensor in tensors:
        if tensor.is_floating_point() and tensor.numel() and not tensor.is_meta:
            ends = (tensor if tensor.itemsize > 1 else tensor.float()).detach().aminmax()
            if not all(end.isfinite() for end in ends):
                return name
    return ""


def _said(folder: Path) -> Template | None:
    """How a release of ours says that its text is laid out."""
    try:
        return Template(**json.loads((folder / "unteach.json").read_text(encoding="utf-8"))["template"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def inspect(folder: Path) -> None:
    """Refuse a folder that is not a model of a known family in safetensors, naming the file and the remedy."""
    adapter = (folder / "adapter_config.json").is_file()
    config = folder / ("adapter_config.json" if adapter else "config.json")
    if not config.is_file():
        raise InputError(f"{folder}: no config.json; name the folder that `save_pretrained` wrote")
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as damaged:
        raise InputError(f"{config}: not valid JSON; save the model again") from damaged
    if not isinstance(settings, dict):
        raise InputError(f"{config}: not a JSON object; save the model again")
    family = str(settings.get("model_type"))
    if not adapter and family not in FAMILIES:
        raise InputError(f"{config}: {unknown(family[:40])}")
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
        if pickled:
            raise InputError(
                f"{folder / pickled[0]}: pickled weights can run code and are refused; save the model as safetensors"
            )
        raise InputError(f"{folder}: no safetensors file; save the model with `save_pretrained`")


def _with_adapter(where: str, base: str | Path | None, template: Template | None, device: str, dtype: str) -> LM:
    settings = PeftConfig.from_pretrained(where)
    under = str(base or settings.base_model_name_or_path or "")
    if not under:
        raise InputError(f"{where}: the adapter does not say which model it belongs to; name it with --base")
    if str(getattr(settings.peft_type, "value", settings.peft_type)) != "LORA":
        raise InputError(f"{where}: only LoRA adapters are supported; merge this one into its base first")
    if settings.modules_to_save or settings.use_dora or getattr(settings, "trainable_token_indices", None):
        raise InputError(f"{where}: the adapter holds more than low-rank terms; merge it into its base first")
    if Path(under).is_dir():
        inspect(Path(under))
    elif Path(under).exists() or under.startswith((".", "/", "~")):
        raise InputError(f"{where}: there is no model at {under}, its base; name it with --base")
    settings.inference_mode = True
    wrapped = PeftModel(_model(under, device, dtype), settings)
    _fill(wrapped, where, "default")
    if first := _under(where):  # a release of ours over a user's own adapter: both are worn
        wrapped.add_adapter("under", PeftConfig.from_pretrained(first))
        _fill(wrapped, first, "under")
        wrapped.base_model.set_adapter(["under", "default"])
    owner = where if (Path(where) / "tokenizer_config.json").is_file() else under
    settings.base_model_name_or_path = under
    return LM(wrapped.get_base_model(), _tokenizer(owner), template=template, adapter=settings, source=where)


def _fill(wrapped: PeftModel, where: str, name: str) -> None:
    weights = load_peft_weights(where, device="cpu", use_safetensors=True)
    if weights.keys() != get_peft_model_state_dict(wrapped, adapter_name=name).keys():  # the rest would be left out
        raise InputError(f"{where}: its weights are not those that its configuration names; save the adapter again")
    set_peft_model_state_dict(wrapped, weights, adapter_name=name)


def _under(where: str) -> str:
    """The adapter that this one was made over, if it says so."""
    try:
        found = str(json.loads((Path(where) / "unteach.json").read_text(encoding="utf-8")).get("over_adapter", ""))
    except (OSError, ValueError, AttributeError):
        return ""
    if found and not Path(found).is_dir():
        raise InputError(f"{where}: was made over the adapter {found}, which is not there; put it back")
    return found


def _model(where: str, device: str, dtype: str) -> Any:
    place = _place(device)
    kind = dtype or ("float32" if place == "cpu" else "auto")
    config = AutoConfig.from_pretrained(where, trust_remote_code=False)
    model, info = AutoModelForCausalLM.from_pretrained(
        where, config=config, dtype=kind, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    if info["missing_keys"]:  # the library would draw them at random
        raise InputError(f"{where}: the weight '{min(info['missing_keys'])}' is missing; copy or save the model again")
    return model.to(place)


def _place(device: str) -> str:
    """Where the model is to be, tried out."""
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=place).item()
    except (RuntimeError, AssertionError) as absent:
        raise InputError(
            f"there is no usable device '{place[:40]}'; choose --device cpu, or one that is here"
        ) from absent
    return place


def _tokenizer(where: str) -> Any:
    return AutoTokenizer.from_pretrained(where, trust_remote_code=False)


def _match(model: Any, tokenizer: Any, where: str) -> None:
    """Refuse a tokenizer that writes tokens the model has no row for; special ones may stand for what it never reads."""
    rows = model.get_input_embeddings().num_embeddings
    if any(i >= rows and not _special(tokenizer, i) for i in tokenizer.get_vocab().values()):
        raise InputError(f"{where}: its tokenizer has more tokens than the model's {rows}; save both of them again")


def _special(tokenizer: Any, token: int) -> bool:
    added = tokenizer.added_tokens_decoder.get(token)
    return added is not None and bool(added.special)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no advice from the libraries while a model is opened or written."""
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.ERROR)
    hf_logging.disable_progress_bar()
    try:
        with catch_warnings():
            simplefilter("ignore")
            yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """The failures of the libraries as one sentence that names the model and the remedy."""
    try:
        yield
    except SafetensorError as damaged:
        raise InputError(f"{where}: a safetensors file is damaged; copy or save the model again") from damaged
    except HFValidationError as bad:
        raise InputError(f"{where}: neither a folder nor a hub id (owner/name); check the spelling") from bad
    except OSError as missing:
        raise InputError(
            f"{where}: cannot be opened as a model with its tokenizer in safetensors; check the path or hub id, "
            "the connection, and that no file is missing"
        ) from missing
    except ImportError as missing:
        raise InputError(
            f"{where}: its weights are packed for a package that is not here; install it, or save them in full precision"
        ) from missing
    except (InputError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as wrong:  # the libraries' readers of hostile files share no class of errors
        raise InputError(
            f"{where}: its files do not fit together ({type(wrong).__name__}); save the model and its tokenizer again"
        ) from wrong
