"""What a training may change: a LoRA adapter of its own, chosen layers, or everything. The model comes back as it was."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol
from warnings import catch_warnings, simplefilter

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from unteach.edit.patches import AddOuter, Patch, Put
from unteach.edit.plan import DOWN, LORA, Plan, draw, layers
from unteach.lm.anatomy import anatomy, plain_name, stored_in_out
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.lm.trace import Enter, Start
from unteach.lm.view import Pass
from unteach.schema import InputError

ADAPTER = "unteach"


class Trainable(Protocol):
    """The tensors in training by name, the model as it was before, and the patches that come of it."""

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]: ...

    @property
    def first(self) -> Start:
        """Where training begins: what enters there never changes."""
        ...

    def before(self, batch: Batch, enter: Enter | None = None) -> Pass: ...

    def patches(self) -> dict[str, tuple[Patch, ...]]: ...


@contextmanager
def trainable(lm: LM, plan: Plan) -> Iterator[Trainable]:
    """Make ready what the plan wants trained; afterwards every module, tensor and flag is the one it was."""
    with frozen(lm), _lora(lm, plan) if plan.lora else _scratch(lm, plan) as found:
        yield found


@contextmanager
def frozen(lm: LM) -> Iterator[None]:
    """No weight of the model is in training but those that are put there; afterwards every flag is the one it was."""
    flags = {name: p.requires_grad for name, p in lm.model.named_parameters()}
    lm.model.requires_grad_(False)
    try:
        yield
    finally:
        for name, parameter in lm.model.named_parameters():
            parameter.requires_grad_(flags[name])
            parameter.grad = None


@dataclass(frozen=True)
class _Scratch:
    lm: LM
    parameters: Mapping[str, nn.Parameter]
    originals: Mapping[str, Tensor]

    @property
    def first(self) -> Start:
        where = anatomy(self.lm.model)
        prefix = f"{where.blocks}."
        if not all(name.startswith(prefix) for name in self.parameters):
            return Start()
        names = [name.removeprefix(prefix).partition(".") for name in self.parameters]
        layer = min(int(number) for number, _, _ in names)
        inside = all(part.startswith(f"{where.mlp_out}.") for number, _, part in names if int(number) == layer)
        return Start(layer, inside and where.sums)

    def before(self, batch: Batch, enter: Enter | None = None) -> Pass:
        return self.lm.run(batch, weights=self.originals, enter=enter)

    def patches(self) -> dict[str, tuple[Patch, ...]]:
        return {name: (Put(p.detach().clone()),) for name, p in self.parameters.items()}


@contextmanager
def _scratch(lm: LM, plan: Plan) -> Iterator[Trainable]:
    chosen = _chosen(lm, plan.tune or "full")
    if any(not p.is_floating_point() for p in chosen.values()):
        raise InputError("quantised weights cannot be trained; use --tune lora")
    originals = {name: p.data for name, p in chosen.items()}
    try:
        for parameter in chosen.values():
            parameter.data = parameter.data.clone()
            parameter.requires_grad_(True)
        yield _Scratch(lm, chosen, originals)
    finally:
        for name, parameter in chosen.items():
            parameter.data = originals[name]


def _chosen(lm: LM, tune: str) -> dict[str, nn.Parameter]:
    if tune == "full":
        return lm.parameters()
    inside = anatomy(lm.model).mlp_out if tune.startswith(DOWN) else ""
    starts = tuple(start + inside for start in _starts(lm, tune))
    return {n: p for n, p in lm.parameters().items() if n.startswith(starts)}


def _starts(lm: LM, tune: str) -> tuple[str, ...]:
    """What the names of all that lies in the chosen layers begin with."""
    numbers = layers(tune)
    if any(n >= lm.layers for n in numbers):
        raise InputError(f"the model has layers 0 to {lm.layers - 1}; choose --tune among them")
    return tuple(f"{anatomy(lm.model).blocks}.{n}." for n in numbers)


@dataclass(frozen=True)
class _Lora:
    lm: LM
    parameters: Mapping[str, nn.Parameter]
    sites: Mapping[str, LoraLayer]

    @property
    def first(self) -> Start:
        return Start()

    def before(self, batch: Batch, _enter: Enter | None = None) -> Pass:
        """The model as it was: only the adapter in training is switched off, a user's own stays on."""

        def quiet(run: Pass, ask: str, *args: Any) -> Tensor:
            with self._off():
                found: Tensor = getattr(run, ask)(*args) if args else getattr(run, ask)
                return found

        inner = self.lm.run(batch)
        return Pass(batch, lambda: quiet(inner, "logits"), lambda layer: quiet(inner, "hidden", layer))

    @contextmanager
    def _off(self) -> Iterator[None]:
        active = {path: list(site.active_adapters) for path, site in self.sites.items()}
        try:
            for site in self.sites.values():  # PEFT's own setter would also touch what is trained
                site._active_adapter = [a for a in site.active_adapters if a != ADAPTER]
            yield
        finally:
            for path, site in self.sites.items():
                site._active_adapter = active[path]

    def patches(self) -> dict[str, tuple[Patch, ...]]:
        found: dict[str, tuple[Patch, ...]] = {}
        for path, site in self.sites.items():
            down, up = (site.lora_A[ADAPTER].weight, site.lora_B[ADAPTER].weight)
            left, right = (down.T, up.T) if stored_in_out(site) else (up, down)
            term = AddOuter(left.detach().clone(), right.detach().clone(), float(site.scaling[ADAPTER]))
            found[f"{path}.weight"] = (term,)
        return found


@contextmanager
def _lora(lm: LM, plan: Plan) -> Iterator[Trainable]:
    modules = dict(lm.model.named_modules())
    starts = _starts(lm, plan.tune) if plan.tune and plan.tune.startswith(LORA) else (anatomy(lm.model).blocks,)
    linear = [p for p, m in modules.items() if p.startswith(starts) and _adaptable(p, m)]
    worn = {p: list(m.active_adapters) for p, m in modules.items() if isinstance(m, LoraLayer)}
    config = LoraConfig(
        r=plan.rank, lora_alpha=plan.lora_alpha, lora_dropout=0.0, target_modules=linear, fan_in_fan_out=_in_out(lm)
    )
    try:
        with torch.random.fork_rng(), catch_warnings():
            simplefilter("ignore")  # PEFT warns that the model wears an adapter already: that is the point
            inject_adapter_in_model(config, lm.model, adapter_name=ADAPTER)
        sites = {p: m for p, m in lm.model.named_modules() if isinstance(m, LoraLayer) and ADAPTER in m.lora_A}
        parameters: dict[str, nn.Parameter] = {}
        for path, site in sites.items():
            site.set_adapter([*worn.get(path, []), ADAPTER])
            parameters[f"{path}.lora_A"] = site.lora_A[ADAPTER].weight
            parameters[f"{path}.lora_B"] = site.lora_B[ADAPTER].weight
            _initial(site.lora_A[ADAPTER].weight, draw(plan.seed, "lora", path))
        lm.model.requires_grad_(False)  # a user's own adapter is worn, not trained
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        yield _Lora(lm, parameters, sites)
    finally:
        _take_off(lm, modules, worn)


def _adaptable(path: str, module: nn.Module) -> bool:
    """Linear maps; PEFT's own stay out."""
    own = ".lora_" in path or path.endswith(".base_layer")
    return not own and (
        isinstance(module, nn.Linear | LoraLayer) or stored_in_out(module) or hasattr(module, "quant_state")
    )


def _in_out(lm: LM) -> bool:
    return any(stored_in_out(m) for m in lm.model.modules())


def _initial(weight: Tensor, seed: int) -> None:
    """The usual uniform start of a LoRA's A, from a generator of its own."""
    bound = 1 / sqrt(weight.shape[1])
    generator = torch.Generator().manual_seed(seed % 2**63)
    with torch.no_grad():
        weight.copy_(torch.empty(weight.shape).uniform_(-bound, bound, generator=generator))


def _take_off(lm: LM, modules: Mapping[str, nn.Module], worn: Mapping[str, list[str]]) -> None:
    for path, module in modules.items():
        if isinstance(module, LoraLayer):
            if ADAPTER in module.lora_A:
                module.delete_adapter(ADAPTER)
            module.set_adapter(worn[path])
        elif path and plain_name(f"{path}.") == f"{path}." and lm.model.get_submodule(path) is not module:
            parent, _, name = path.rpartition(".")
            setattr(lm.model.get_submodule(parent), name, module)
    lm.model.peft_config.pop(ADAPTER, None)
    if not worn:
        del lm.model.peft_config
