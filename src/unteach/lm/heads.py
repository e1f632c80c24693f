"""A classifier head on frozen features: the rows it learns from, and what it says."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from unteach.lm.batch import collate
from unteach.lm.model import LM
from unteach.schema import InputError, Record

AT_ONCE = 32  # rows in one pass

Features = Float[np.ndarray, "n d"]
Classes = Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Rows of features x (n, d) in float64, each with an id of its own and a class y (n,) from 0 on.

    The order of the rows is that of their ids, so that it tells nothing of how they came in.
    """

    ids: tuple[str, ...]
    x: Features
    y: Classes

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.x) == len(self.y):
            raise InputError(
                f"{len(self.ids)} ids, {len(self.x)} feature rows and {len(self.y)} classes; give one each"
            )
        if len(set(self.ids)) < len(self.ids):
            raise InputError("two rows bear the same id; give each row its own")
        if not np.isfinite(self.x).all():
            raise InputError("a feature is not a finite number; leave that row out")
        order = sorted(range(len(self.ids)), key=lambda i: self.ids[i])
        object.__setattr__(self, "ids", tuple(self.ids[i] for i in order))
        object.__setattr__(self, "x", np.ascontiguousarray(self.x[order], np.float64))
        object.__setattr__(self, "y", np.ascontiguousarray(self.y[order], np.int64))

    def __repr__(self) -> str:
        return f"Table(n={len(self.ids)}, d={self.x.shape[1]})"

    def without(self, ids: Collection[str]) -> "Table":
        """All rows but these."""
        gone = set(ids)
        return self._chosen([i not in gone for i in self.ids])

    def only(self, ids: Collection[str]) -> "Table":
        """These rows; an id that is not there is refused."""
        wanted = set(ids)
        if missing := len(wanted.difference(self.ids)):
            raise InputError(f"{missing} of the ids are not in the table; ids are those that it was made with")
        return self._chosen([i in wanted for i in self.ids])

    def _chosen(self, keep: Sequence[bool]) -> "Table":
        mask = np.array(keep, bool)
        return Table(tuple(i for i, k in zip(self.ids, keep, strict=True) if k), self.x[mask], self.y[mask])


@dataclass(frozen=True, eq=False)
class Head:
    """One score a class, x W^T + b; weights W (K, d) and bias b (K,) in float64. With K = 1 classes are 0 and 1."""

    weights: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, " k"]

    def scores(self, x: Features) -> Float[np.ndarray, "n k"]:
        """The score of every class."""
        return np.asarray(x @ self.weights.T + self.bias)

    def __call__(self, x: Features) -> Classes:
        """The class of the greatest score."""
        scores = self.scores(x)
        return np.asarray(scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(1), np.int64)


@torch.no_grad()
def features(lm: LM, records: Sequence[Record], layer: int | None = None) -> Table:
    """The state behind a block, by default the last, at the last token of each question: what a head is put on.

    The model must not have seen the rows, or be one that nobody asks to forget: its weights are not part of what a
    head forgets. Records need labels.
    """
    if any(r.label is None for r in records):
        raise InputError("a head learns from labelled records; give each record a 'label', a whole number from 0 on")
    found: list[np.ndarray] = []
    for at in range(0, len(records), AT_ONCE):
        part = records[at : at + AT_ONCE]
        batch = collate([lm.encoder.row(r) for r in part], [r.id for r in part], pad=lm.pad, device=lm.device)
        states = lm.run(batch).hidden(lm.layers - 1 if layer is None else layer)
        firsts = batch.offsets[:-1]  # the place that predicts the first token of the answer is the question's last
        found.append(states[torch.as_tensor(firsts)].double().cpu().numpy())
    x = np.concatenate(found) if found else np.empty((0, 0))
    return Table(tuple(r.id for r in records), x, np.array([r.label for r in records], np.int64))
