"""The models of an audit: what they are called, and how each is had when its turn comes."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from unteach.lm.model import LM

ORIGINAL, RETRAINED = "original", "retrained"
Opens = Callable[[], AbstractContextManager[LM]]
Worn = LM | Opens  # a model, or what puts one on


def worn(model: Worn) -> AbstractContextManager[LM]:
    """The model while it is asked."""
    return nullcontext(model) if isinstance(model, LM) else model()
