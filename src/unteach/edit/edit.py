"""An edit is a value: it changes weights, activations and the conversation, and comes off bit for bit."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from unteach.edit.maps import ActivationMap
from unteach.edit.patches import AddOuter, Patch, pack, scaled, split, through, visible
from unteach.lm.anatomy import stored_in_out
from unteach.lm.guard import Guard
from unteach.lm.model import LM
from unteach.registry import name_of
from unteach.schema import EMPIRICAL, Guarantee, InputError


@dataclass(frozen=True, eq=False)
class Edit:
    """What a method returns.

    `base` is the digest of the model it was made on; `links` the digests of the edits it was composed of, none
    for a simple one. `history` is what training measured, one mapping per measurement; it is not part of the
    digest.
    """

    base: str
    weights: Mapping[str, tuple[Patch, ...]] = field(default_factory=dict)
    activations: Mapping[str, tuple[ActivationMap, ...]] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    made_by: str = ""
    guarantee: Guarantee = EMPIRICAL
    links: tuple[str, ...] = ()
    history: tuple[Mapping[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not self.weights and self.guarantee.kind in ("exact", "certified", "empirical") and not self.links:
            claim = "No weight was changed: what the model knows is hidden, not removed."
            object.__setattr__(self, "guarantee", Guarantee("suppression", "removable", claim))

    @contextmanager
    def on(self, lm: LM) -> Iterator[LM]:
        """Wear the edit: the model acts as edited inside the block and is bit for bit as before after it."""
        if not lm.lock.acquire(blocking=False):
            raise InputError("the model is in use by another thread; wait until it has taken its edit off")
        try:
            self.check_base(lm)
            with ExitStack() as stack:
                _wear_weights(self, lm, stack)
                for path, maps in self.activations.items():
                    for change in maps:
                        stack.enter_context(lm.tap(path, change))
                before = list(lm.guards)
                stack.callback(lambda: lm.guards.__setitem__(slice(None), before))
                lm.guards.extend(self.guards)
                lm.worn.append(self.worn_digest)
                stack.callback(lm.worn.pop)
                yield lm
        finally:
            lm.lock.release()

    def check_base(self, lm: LM) -> None:
        """Refuse a model that is not the one the edit was made on."""
        if lm.digest() != self.base:
            raise InputError(
                "this edit was made on another model (their digests differ); load the model it was made on"
            )

    def then(self, other: "Edit") -> "Edit":
        """This edit with another one over it that was made while this one was worn."""
        if other.base != self.worn_digest:
            raise InputError("the second edit was not made on the model that wears the first; make it there")
        return Edit(
            base=self.base,
            weights=_over(self.weights, other.weights),
            activations=_joined(self.activations, other.activations),
            guards=self.guards + other.guards,
            made_by=f"{self.made_by} + {other.made_by}",
            guarantee=self.guarantee.weakest(other.guarantee),
            links=self._links + other._links,
            history=(*self.history, *other.history),
        )

    def scaled(self, alpha: float) -> "Edit":
        """`alpha` times the change of the weights: 0 is the original, 1 this edit, -1 its negation."""
        if self.activations or self.guards:
            raise InputError(
                "only changes of weights can be scaled; this edit also changes activations or conversation"
            )
        weights = {name: scaled(chain, alpha) for name, chain in self.weights.items()}
        return replace(self, weights=weights, made_by=f"{self.made_by} x {alpha:g}", links=(), history=())

    def delta(self, lm: LM) -> dict[str, Tensor]:
        """The change of each weight it touches, multiplied out."""
        found = lm.parameters()
        return {
            name: through(chain, found[name].detach()) - found[name].detach() for name, chain in self.weights.items()
        }

    def digest(self) -> str:
        """SHA-256 of the base, of every patch, map and guard, and of who made it with what guarantee."""
        return self._own[0]

    @property
    def worn_digest(self) -> str:
        """The digest of the model that wears this edit."""
        worn = self.base
        for link in self._links:
            worn = hashlib.sha256(f"{worn}\x1e{link}".encode()).hexdigest()
        return worn

    @property
    def _links(self) -> tuple[str, ...]:
        return self.links or (self.digest(),)

    @cached_property
    def _own(self) -> tuple[str]:
        described, tensors = describe(self)

        def content(name: str) -> Iterable[memoryview]:
            flat = tensors[name].detach().cpu().contiguous().flatten()
            return (flat.view(torch.uint8).numpy().data,)

        return (digest_of(described, tensors, content),)


def describe(edit: Edit) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An edit as JSON and the tensors it names; the training history is left out."""
    tensors: dict[str, Tensor] = {}
    places: tuple[tuple[str, Mapping[str, tuple[Any, ...]]], ...] = (
        ("weights", edit.weights),
        ("activations", edit.activations),
    )
    described: dict[str, Any] = {"base": edit.base, "made_by": edit.made_by, "links": list(edit.links)}
    for place, changes in places:
        described[place] = {
            name: [pack(change, f"{place}.{name}.{i}", tensors) for i, change in enumerate(chain)]
            for name, chain in sorted(changes.items())
        }
    described["guards"] = [{"guard": name_of(g), **vars(g)} for g in edit.guards]
    promise = edit.guarantee
    described["guarantee"] = {**vars(promise), "numbers": dict(promise.numbers)}
    return described, tensors


def digest_of(
    described: Mapping[str, Any], tensors: Mapping[str, Tensor], content: Callable[[str], Iterable[bytes | memoryview]]
) -> str:
    """The digest of what `describe` gave; `content` yields the bytes of a tensor, which are not read from it here."""
    sha = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(tensors):
        sha.update(f"{name}\x1f{tensors[name].dtype}\x1f{tuple(tensors[name].shape)}\x1e".encode())
        for part in content(name):
            sha.update(part)
    return sha.hexdigest()


def _over(
    first: Mapping[str, tuple[Patch, ...]], second: Mapping[str, tuple[Patch, ...]]
) -> dict[str, tuple[Patch, ...]]:
    """The chains of both, without what nobody sees any more.

    A low-rank term stays over the weight that the second edit found under it and changed.
    """
    chains = _joined(first, second)
    for name in first.keys() & second.keys():
        (dense, low), (later, lower) = split(first[name]), split(second[name])
        chains[name] = (*visible((*dense, *later)), *low, *lower)
    return chains


def _joined(first: Mapping[str, tuple[Any, ...]], second: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {
        name: (*first.get(name, ()), *second.get(name, ())) for name in (*first, *(n for n in second if n not in first))
    }


def _wear_weights(edit: Edit, lm: LM, stack: ExitStack) -> None:
    parameters = lm.parameters()
    modules = reversed([*lm.model.modules()] if edit.weights else [])  # the first module of a tied weight is its owner
    owners = {id(p): m for m in modules for p in m.parameters(recurse=False)}
    for name, chain in edit.weights.items():
        if name not in parameters:
            raise InputError(f"the model has no weight '{name}' that this edit changes; load the model it was made on")
        parameter = parameters[name]
        module = owners[id(parameter)]
        linear = isinstance(module, nn.Linear) or stored_in_out(module)
        dense, low = split(chain)
        if low and not linear:
            raise InputError(f"weight '{name}' is of no linear map, over which a low-rank term could lie; use Add")
        if parameter.is_meta or type(parameter.data) is not Tensor:
            raise InputError("an edit cannot be worn by a sharded or offloaded model; bake it and load the result")
        if dense:
            if not parameter.is_floating_point():
                raise InputError(f"weight '{name}' is quantised; over a quantised base only a LoRA edit can be worn")
            _swap(parameter, through(dense, parameter.detach()), stack)
        for term in low:
            stack.callback(_lay_over(lm.model.get_submodule(name.removesuffix(".weight")), term).remove)


def _swap(parameter: nn.Parameter, value: Tensor, stack: ExitStack) -> None:
    original = parameter.data
    stack.callback(lambda: setattr(parameter, "data", original))
    parameter.data = value


def _lay_over(module: nn.Module, term: AddOuter) -> Any:
    """Add the low-rank term to what a linear map puts out; the weight stays as it is."""
    weight = next(module.parameters())
    left, right = (
        t.to(weight.device, weight.dtype if weight.is_floating_point() else t.dtype) for t in (term.left, term.right)
    )
    first, second = (left, right) if stored_in_out(module) else (right.T, left.T)

    def hook(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + term.scale * (args[0] @ first @ second)

    return module.register_forward_hook(hook)
