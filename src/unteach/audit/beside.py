"""The model before, for an attacker who holds both: itself, or its weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from unteach.audit.target import Target
from unteach.edit.worn import flat
from unteach.lm.model import LM


@contextmanager
def model_before(target: Target) -> Iterator[tuple[LM | None, str]]:
    """The model before, or the reason why there is none to hold beside the one under attack."""
    if target.before is None:
        yield None, "there is no model before"
        return
    with target.before() as opened:
        before = opened.held
        same = before is not None and before.model is target.lm.model
        missing = "the model before is served, without its weights" if before is None else ""
        yield (None, "one copy of the weights cannot be both models at once") if same else (before, missing)


@contextmanager
def weights_before(target: Target) -> Iterator[tuple[Mapping[str, Tensor] | None, str]]:
    """The weights before by name, low-rank terms multiplied in, or the reason why they cannot be compared."""
    with model_before(target) as (before, missing):
        if before is None:
            yield None, missing
            return
        with flat(before):
            theirs = {name: p.detach().to(target.lm.device) for name, p in before.parameters().items()}
            mine = {name: p.shape for name, p in target.lm.parameters().items()}
            same = mine == {name: p.shape for name, p in theirs.items()}
            yield (theirs, "") if same else (None, "the two models have different weights")
