"""The models of an audit: what they are called, and how each is had when its turn comes."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from unteach.lm.respondent import Respondent

ORIGINAL, RETRAINED = "original", "retrained"
Opens = Callable[[], AbstractContextManager[Respondent]]
Worn = Respondent | Opens  # a model, or what puts one on


def is_retrained(model: str) -> bool:
    """Whether a name is that of the retrained model, or of a further one: "retrained 2", "retrained 3" ..."""
    return re.fullmatch(rf"{RETRAINED}( \d+)?", model) is not None


def worn(model: Worn) -> AbstractContextManager[Respondent]:
    """The model while it is asked."""
    return model() if callable(model) else nullcontext(model)
