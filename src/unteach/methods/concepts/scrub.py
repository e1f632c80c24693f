"""Concept scrubbing: one eraser after another, each fitted to states that the ones before it have gone over."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.edit.maps import Erase
from unteach.lm.anatomy import anatomy
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.lm.trace import Enter, Start, tapped
from unteach.schema import InputError, Record

AT_ONCE = 32  # rows in one pass
TWO = 2  # the fewest classes that can be told apart
Tokens = Literal["all", "last"]  # every token of a row, or that behind which its answer begins
Portions = Iterable[tuple[Float[Tensor, "n D"], Int[Tensor, " n"]]]
Fit = Callable[[Portions], Erase]


@dataclass(frozen=True, repr=False)
class Labelled:
    """Rows, and of each the number of its class, from 0."""

    rows: tuple[Record, ...]
    classes: tuple[int, ...]

    @property
    def count(self) -> int:
        return max(self.classes) + 1


def labelled(records: Sequence[Record], name: str) -> Labelled:
    """The rows in the order of their ids, with their labels as classes; what is missing is refused."""
    if not records:
        raise InputError(f"{name} learns a concept from records to forget; give --forget FILE")
    if any(r.label is None for r in records):
        raise InputError(f"{name} needs the labels of its rows; give each record to forget a `label`, a whole number")
    names = sorted({r.label for r in records if r.label is not None})
    if len(names) < TWO:
        raise InputError(f"{name} needs rows of at least {TWO} classes; give records to forget with other labels too")
    rows = tuple(sorted(records, key=lambda r: r.id))
    return Labelled(rows, tuple(names.index(r.label) for r in rows if r.label is not None))


@torch.no_grad()
def scrub(lm: LM, told: Labelled, sites: Sequence[Sequence[str]], tokens: Tokens, fit: Fit) -> dict[str, Erase]:
    """What `fit` makes of the states that modules put out, block after block: `sites` names the modules in each.

    A module's states are those of the model that wears all that was made before. Erasers without a direction are
    left out.
    """
    spans = [slice(at, at + AT_ONCE) for at in range(0, len(told.rows), AT_ONCE)]
    batches = [lm.batch(told.rows[span]) for span in spans]
    classes = [torch.tensor(told.classes[span], device=lm.device) for span in spans]
    entered: list[Enter | None] = [None] * len(batches)
    found: dict[str, Erase] = {}
    with lm.lock, ExitStack() as worn:
        for layer, paths in enumerate(sites):
            for path in paths:
                found[path] = fit(_states(lm, path, tokens, batches, classes, entered))
                worn.enter_context(tapped(lm.model, path, found[path].of))
            if any(sites[layer + 1 :]):
                entered = [lm.enter(b, Start(layer + 1), enter=e) for b, e in zip(batches, entered, strict=True)]
    return {path: eraser for path, eraser in found.items() if eraser.left.numel()}


def _states(
    lm: LM, path: str, tokens: Tokens, batches: Sequence[Batch], classes: Sequence[Tensor],
    entered: Sequence[Enter | None],
) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
    for batch, labels, enter in zip(batches, classes, entered, strict=True):
        states = lm.outputs(batch, path, enter=enter)
        if tokens == "all":
            yield states, labels[batch.places // batch.ids.shape[1]]
        else:
            answered = (batch.lengths > 0).nonzero()[:, 0]
            first = torch.tensor(batch.offsets, device=states.device)[answered]
            yield states[batch.predicting[first]], labels[answered]


def norms(lm: LM) -> list[list[str]]:
    """The norms in front of the halves of each block."""
    where = anatomy(lm.model)
    if not where.entered:
        raise InputError("this family of models has no norm in front of a block's halves; choose site=blocks")
    return [[f"{where.blocks}.{n}.{norm}" for norm, _ in where.entered] for n in range(lm.layers)]


def blocks(lm: LM) -> list[list[str]]:
    """The blocks themselves."""
    return [[f"{anatomy(lm.model).blocks}.{n}"] for n in range(lm.layers)]
