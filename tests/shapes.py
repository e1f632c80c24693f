"""Checks the shape annotations of functions and dataclasses while tests run, and no other annotation."""

from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import beartype

JAXTYPED = jaxtyping.jaxtyped


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its jaxtyping annotations enforced; tests may pass stand-ins for everything else."""
    written = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in written.items() if _is_shape(hint)}
    try:
        return beartype(function) if function.__annotations__ else function
    finally:
        function.__annotations__ = written


def where_shaped(*, typechecker: Any) -> Callable[[Any], Any]:
    """Stands in for `jaxtyped`: whatever has no shapes is left as it is, since each wrapped call costs its time."""

    def decorated(found: Any) -> Any:
        function = found.__init__ if isinstance(found, type) else found
        hints = getattr(function, "__annotations__", {}).values()
        return JAXTYPED(found, typechecker=typechecker) if any(map(_is_shape, hints)) else found

    return decorated


def _is_shape(hint: Any) -> bool:
    if isinstance(hint, type) and not get_args(hint):
        return issubclass(hint, jaxtyping.AbstractArray)
    return any(_is_shape(part) for part in get_args(hint))
