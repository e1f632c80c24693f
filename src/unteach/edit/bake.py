"""Folders that plain `transformers` or PEFT load: the whole model with an edit multiplied in, or the adapter alone."""

import json
import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from unteach.edit.checkpoint import sync
from unteach.edit.edit import Edit
from unteach.edit.patches import AddOuter, through
from unteach.lm.anatomy import plain_name, stored_in_out
from unteach.lm.load import quiet
from unteach.lm.model import LM, weights_digest
from unteach.schema import InputError

ABOUT = "unteach.json"  # what a release says of itself: how text is laid out, what it stands on


def bake(edit: Edit | None, lm: LM, folder: str | Path, *, card: str = "") -> str:
    """Write a whole model with the edit (and a user's own adapter) multiplied in; returns its digest.

    `card` is the text of its README.md.
    Refuses what weights cannot express: activation maps and guards.
    """
    if edit is not None and (edit.activations or edit.guards):
        raise InputError("this edit acts while the model runs and cannot be baked into weights; release it as it is")
    if edit is not None:
        edit.check_base(lm)
    folder = Path(folder)
    state = baked_state(edit, lm)
    staged = staged_beside(folder)
    with quiet():
        _skeleton(lm, state).save_pretrained(staged)
    lm.tokenizer.save_pretrained(staged)
    _about(staged, lm, {}, card)
    publish(staged, folder)
    return weights_digest(state)


def baked_state(edit: Edit | None, lm: LM) -> dict[str, Tensor]:
    """Every weight of the plain model by name, a user's adapter merged, then the edit's patches applied."""
    state: dict[str, Tensor] = {}
    chains = dict(edit.weights) if edit is not None else {}
    for name, tensor in lm.model.state_dict(keep_vars=True).items():
        if ".lora_" in name:
            continue
        plain = plain_name(name)
        value = tensor.detach()
        if name.endswith(".base_layer.weight"):
            value = _merged(lm.model.get_submodule(name.removesuffix(".base_layer.weight")), value)
        state[plain] = through(chains.pop(plain, ()), value)
    if chains:
        raise InputError(f"the model has no weight '{next(iter(chains))}' that this edit changes; load its own model")
    _tie(lm.model, state, set(edit.weights) if edit is not None else set())
    return state


def _merged(owner: nn.Module, value: Tensor) -> Tensor:
    assert isinstance(owner, LoraLayer)
    for adapter in owner.active_adapters:
        if adapter in owner.lora_A:
            value = value + owner.get_delta_weight(adapter)
    return value


def _tie(model: nn.Module, state: dict[str, Tensor], changed: set[str]) -> None:
    """Tied weights have two names; the one that was patched speaks for both."""
    groups: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if ".lora_" not in name and tensor.numel():
            groups.setdefault(tensor.data_ptr(), []).append(plain_name(name))
    for names in groups.values():
        leader = next((n for n in names if n in changed), names[0])
        for name in names:
            state[name] = state[leader]


def _skeleton(lm: LM, state: Mapping[str, Tensor]) -> Any:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(deepcopy(lm.model.config))  # writing a model notes things in it
    model.load_state_dict(dict(state), strict=False, assign=True)
    model.tie_weights()
    if getattr(lm.model, "generation_config", None) is not None:
        model.generation_config = deepcopy(lm.model.generation_config)
    return model


def save_adapter(edit: Edit, lm: LM, folder: Path, *, card: str = "") -> None:
    """Write an edit made of low-rank terms as a PEFT adapter over the model it was made on; `card` is its README.md."""
    edit.check_base(lm)
    terms = _terms(edit)
    staged = staged_beside(folder)
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for name, term in terms.items():
        path = name.removesuffix(".weight")
        flipped = stored_in_out(lm.model.get_submodule(path))
        up, down = (term.right.T, term.left.T) if flipped else (term.left, term.right)
        tensors[f"base_model.model.{path}.lora_A.weight"] = down.contiguous()
        tensors[f"base_model.model.{path}.lora_B.weight"] = (up * term.scale).contiguous()
        ranks[path] = down.shape[0]
    save_file(tensors, staged / "adapter_model.safetensors", metadata={"format": "pt"})
    (staged / "adapter_config.json").write_text(json.dumps(_adapter_config(lm, ranks), indent=2), encoding="utf-8")
    lm.tokenizer.save_pretrained(staged)
    over = {"over_adapter": str(Path(lm.source).resolve())} if lm.adapter is not None else {}
    _about(staged, lm, over, card)
    publish(staged, folder)


def _terms(edit: Edit) -> dict[str, AddOuter]:
    """The low-rank terms of an edit that is made of nothing else."""
    terms = {name: chain[0] for name, chain in edit.weights.items() if len(chain) == 1}
    found = {name: term for name, term in terms.items() if isinstance(term, AddOuter)}
    if edit.activations or edit.guards or not found or found.keys() != edit.weights.keys():
        raise InputError("only an edit trained as LoRA can be released as an adapter; use --release baked")
    return found


def _adapter_config(lm: LM, ranks: Mapping[str, int]) -> dict[str, Any]:
    base = lm.adapter.base_model_name_or_path if lm.adapter is not None else lm.source
    rank = max(ranks.values())
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(Path(base).resolve()) if base and Path(base).is_dir() else base,
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": {p: r for p, r in ranks.items() if r != rank},
        "alpha_pattern": {p: r for p, r in ranks.items() if r != rank},
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": _targets(lm, ranks),
        "fan_in_fan_out": any(stored_in_out(lm.model.get_submodule(p)) for p in ranks),
        "inference_mode": True,
    }


def _targets(lm: LM, ranks: Mapping[str, int]) -> list[str]:
    """The last names of the adapted modules, or their whole paths where other modules have those names too."""
    names = {p.rpartition(".")[2] for p in ranks}
    meant = {p for p, _ in lm.model.named_modules() if p.rpartition(".")[2] in names}
    return sorted(names if meant == ranks.keys() else ranks)


def _about(folder: Path, lm: LM, more: Mapping[str, str], card: str) -> None:
    if card:
        (folder / "README.md").write_text(card, encoding="utf-8")
    about = {"template": {"pattern": lm.template.pattern, "eos": lm.template.eos, "system": lm.template.system}}
    (folder / ABOUT).write_text(json.dumps(about | dict(more), indent=2), encoding="utf-8")


def staged_beside(folder: Path) -> Path:
    """An empty folder to write the next one in."""
    mend(folder)
    staged = _beside(folder, "writing")
    staged.mkdir(parents=True)
    return staged


def publish(staged: Path, folder: Path) -> None:
    """Let the finished folder take the place of the old one, if there is one; neither is ever seen half there."""
    for path in (*staged.rglob("*"), staged):
        sync(path)
    if folder.exists():
        folder.rename(_beside(folder, "old"))
    staged.rename(folder)
    sync(folder.parent)
    shutil.rmtree(_beside(folder, "old"), ignore_errors=True)


def withdraw(folder: Path) -> None:
    """Remove a folder, which is never seen half there."""
    mend(folder)
    if folder.exists():
        folder.rename(_beside(folder, "writing"))
        sync(folder.parent)
        mend(folder)


def mend(folder: Path) -> None:
    """Put right what a killed process left: the old folder where the new one was not yet in place, nothing beside it."""
    old = _beside(folder, "old")
    if old.exists() and not folder.exists():
        old.rename(folder)
    for path in (old, _beside(folder, "writing")):
        shutil.rmtree(path, ignore_errors=True)


def _beside(folder: Path, what: str) -> Path:
    return folder.parent / f".{folder.name}-{what}"
