"""What a learner knows, as JSON and tensors, and back to the last bit. A file names types and never brings code."""

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unteach.schema import InputError

OURS = "unteach."


def packed(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """The form of a value as JSON, with the number of a tensor where an array stood; and the tensors."""
    tensors: dict[str, Tensor] = {}
    return _form(value, tensors), tensors


def unpacked(form: Any, tensors: Mapping[str, Tensor], known: Mapping[str, type]) -> Any:
    """The value again, of the types that are known."""
    if not isinstance(form, dict):
        return form
    if "array" in form:
        return tensors[form["array"]].numpy()
    parts = [unpacked(part, tensors, known) for part in form["parts"]]
    if form["is"] == "mapping":
        return dict(zip(parts[::2], parts[1::2], strict=True))
    if form["is"] in ("tuple", "frozenset"):
        return tuple(parts) if form["is"] == "tuple" else frozenset(parts)
    if form["is"] not in known:
        raise InputError("the state of the store is of another version; open it with that one")
    return known[form["is"]](**dict(zip(form["names"], parts, strict=True)))


def types_of(learner: type) -> dict[str, type]:
    """The dataclasses that states and releases of a learner may be made of: those of its module, and of theirs."""
    found: dict[str, type] = {}
    pending, seen = [learner.__module__], {learner.__module__}
    while pending:
        for one in vars(sys.modules[pending.pop()]).values():
            if isinstance(one, type) and is_dataclass(one) and one.__module__.startswith(OURS):
                found[one.__name__] = one
                pending += [one.__module__] if one.__module__ not in seen else []
                seen.add(one.__module__)
    return found


def _form(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        name = f"{len(tensors):04d}"
        tensors[name] = torch.from_numpy(np.ascontiguousarray(value))
        return {"array": name}
    if isinstance(value, Mapping):
        return {"is": "mapping", "parts": [_form(part, tensors) for pair in value.items() for part in pair]}
    if isinstance(value, tuple):
        return {"is": "tuple", "parts": [_form(part, tensors) for part in value]}
    if isinstance(value, frozenset):
        return {"is": "frozenset", "parts": [_form(part, tensors) for part in sorted(value)]}
    if is_dataclass(value):
        names = [f.name for f in fields(value)]
        parts = [_form(getattr(value, name), tensors) for name in names]
        return {"is": type(value).__name__, "names": names, "parts": parts}
    raise InputError(f"a {type(value).__name__} cannot be kept in a store; use the learner from Python")
