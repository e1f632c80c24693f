"""Checks the shape annotations of functions and dataclasses while tests run, and no other annotation."""

from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import beartype


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its jaxtyping annotations enforced; tests may pass stand-ins for everything else."""
    written = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in written.items() if _is_shape(hint)}
    try:
        return beartype(function) if function.__annotations__ else function
    finally:
        function.__annotations__ = written


def _is_shape(hint: Any) -> bool:
    if isinstance(hint, type) and not get_args(hint):
        return issubclass(hint, jaxtyping.AbstractArray)
    return any(_is_shape(part) for part in get_args(hint))
