"""Changes of one weight: pure functions from the weight as it was to the weight as it is to be.

Shapes are those in which the model stores the weight; W below is (R, C) for a matrix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from unteach.schema import InputError


class Patch(Protocol):
    """A change of one weight; frozen, made of tensors and numbers only."""

    def __call__(self, weight: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Put:
    """This value, whatever was there: exact, and therefore what training returns."""

    value: Tensor

    def __call__(self, weight: Tensor) -> Tensor:
        return self.value.to(weight.device, weight.dtype)


@dataclass(frozen=True, eq=False)
class Add:
    """W + delta."""

    delta: Tensor

    def __call__(self, weight: Tensor) -> Tensor:
        return weight + self.delta.to(weight.device, weight.dtype)


@dataclass(frozen=True, eq=False)
class AddOuter:
    """W + scale * left @ right, a change of rank K; worn in the forward pass without ever being multiplied out."""

    left: Float[Tensor, "R K"]
    right: Float[Tensor, "K C"]
    scale: float = 1.0

    def __call__(self, weight: Tensor) -> Tensor:
        change = self.left.to(weight.device, weight.dtype) @ self.right.to(weight.device, weight.dtype)
        return weight + self.scale * change


@dataclass(frozen=True, eq=False)
class Scale:
    """W * by, elementwise or by anything that broadcasts to W (zeros prune)."""

    by: Tensor

    def __call__(self, weight: Tensor) -> Tensor:
        return weight * self.by.to(weight.device, weight.dtype)


@dataclass(frozen=True, eq=False)
class Lerp:
    """W + alpha * (chain(W) - W): 0 is the weight as it was and 1 the patched one, both bit for bit."""

    alpha: float
    chain: tuple[Patch, ...]

    def __call__(self, weight: Tensor) -> Tensor:
        if self.alpha == 0:
            return weight
        patched = through(self.chain, weight)
        return patched if self.alpha == 1 else weight + self.alpha * (patched - weight)


PATCHES: Mapping[str, type[Any]] = {c.__name__: c for c in (Put, Add, AddOuter, Scale, Lerp)}


def through(chain: Sequence[Patch], weight: Tensor) -> Tensor:
    """The weight after every patch of a chain, in order."""
    for patch in chain:
        weight = patch(weight)
    return weight


def visible(chain: Sequence[Patch]) -> tuple[Patch, ...]:
    """A chain without the patches that a later Put hides."""
    puts = [i for i, patch in enumerate(chain) if isinstance(patch, Put)]
    return tuple(chain[puts[-1] if puts else 0 :])


def split(chain: Sequence[Patch]) -> tuple[tuple[Patch, ...], tuple[AddOuter, ...]]:
    """What must be multiplied out, and the low-rank terms at the end that need not be."""
    cut = len(chain)
    while cut and isinstance(chain[cut - 1], AddOuter):
        cut -= 1
    return tuple(chain[:cut]), tuple(p for p in chain[cut:] if isinstance(p, AddOuter))


def scaled(chain: Sequence[Patch], alpha: float) -> tuple[Patch, ...]:
    """The chain with `alpha` times its change; low-rank chains stay low-rank, and all of it is the chain itself."""
    if alpha == 1:
        return tuple(chain)
    if all(isinstance(p, AddOuter) for p in chain):
        return tuple(AddOuter(p.left, p.right, alpha * p.scale) for p in chain if isinstance(p, AddOuter))
    return (Lerp(alpha, tuple(chain)),)


def pack(patch: Any, key: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """A patch as JSON; its tensors go into `tensors` under names that begin with `key`."""
    if isinstance(patch, Lerp):
        inner = [pack(p, f"{key}.{i}", tensors) for i, p in enumerate(patch.chain)]
        return {"patch": "Lerp", "alpha": patch.alpha, "chain": inner}
    described: dict[str, Any] = {"patch": type(patch).__name__}
    for name, value in vars(patch).items():
        if isinstance(value, Tensor):
            tensors[f"{key}.{name}"] = value
            described[name] = {"tensor": f"{key}.{name}"}
        else:
            described[name] = value
    return described


def unpack(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Patch:
    """The patch that `pack` described; anything else is refused."""
    if described.get("patch") == "Lerp":
        return Lerp(float(described["alpha"]), tuple(unpack(p, tensors) for p in described["chain"]))
    found: Patch = unpack_as(PATCHES, described, tensors)
    return found


def unpack_as(kinds: Mapping[str, type[Any]], described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    """One of several kinds of frozen dataclass of tensors and numbers, as `pack` described it."""
    cls = kinds.get(str(described.get("patch")))
    if cls is None:
        raise InputError("the edit holds a change of an unknown kind; read it with the version that wrote it")
    fields = {k: v for k, v in described.items() if k != "patch"}
    try:
        return cls(**{k: tensors[v["tensor"]] if isinstance(v, dict) else float(v) for k, v in fields.items()})
    except (KeyError, TypeError, ValueError) as damaged:
        raise InputError("the edit's description does not match its tensors; copy the edit again") from damaged
