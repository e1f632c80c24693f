"""ERASE: a task is taught by demonstrations in the prompt, and forgotten by taking them out of the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from unteach.lm.heads import Table, features
from unteach.lm.model import LM
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.heads.lloyd import distances, nearest, points
from unteach.methods.exact.heads.qkmeans import Clustered, QKMeans
from unteach.methods.exact.heads.sums import Grid
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError, Record


@dataclass(frozen=True, repr=False)
class Examples:
    """Records that may be shown, and a row of features for each, of the same ids."""

    table: Table
    records: tuple[Record, ...]

    def __post_init__(self) -> None:
        if sorted(r.id for r in self.records) != list(self.table.ids):
            raise InputError("examples want one row of features for each record, under the record's id")

    def __repr__(self) -> str:
        return f"Examples(n={len(self.records)})"


@dataclass(frozen=True, repr=False)
class Store:
    """The examples that are left, and their clustering."""

    clustered: Clustered
    records: Mapping[str, Record]

    def __repr__(self) -> str:
        return f"Store({self.clustered})"


@dataclass(frozen=True, eq=False, repr=False)
class Demonstrations:
    """The examples that stand for their clusters, with their places on the grid; the others are not held."""

    records: tuple[Record, ...]
    places: Grid
    bits: int
    shots: int

    def __repr__(self) -> str:
        return f"Demonstrations(n={len(self.records)}, shots={self.shots})"

    def __call__(self, x: Float[np.ndarray, " d"]) -> tuple[Record, ...]:
        """The examples to show before a question of these features: the nearest ones, and the nearest last."""
        asked = points([""], x[None], self.bits).places[0]
        order = np.argsort(distances(self.places, asked), kind="stable")[: self.shots]
        return tuple(self.records[n] for n in reversed(order))

    def prompt(self, x: Float[np.ndarray, " d"], question: str) -> str:
        """The question with its demonstrations before it."""
        return "\n\n".join([*(f"{r.prompt} {r.answer}" for r in self(x)), question])


def examples(lm: LM, records: Sequence[Record]) -> Examples:
    """Records with the features that a model gives them, which it must not have learned from."""
    return Examples(features(lm, [replace(r, label=r.label or 0) for r in records]), tuple(records))


@learner("erase", tested_by="test_a_store_without_examples_is_the_one_that_never_had_them")
@dataclass(frozen=True)
class ERASE:
    """The model learns nothing: a few examples stand before each question, those that stand for a cluster of examples.

    Examples are clustered by quantised k-means on frozen features, and each cluster is stood for by the example
    nearest to its centroid; of these the `shots` nearest to a question are shown. Muresanu et al. 2024, arXiv:2402.00751;
    they show the same ones before all questions, as `shots` = `clusters.k` does, but for the order. A deletion takes
    the examples out of the clustering (see qkmeans) and out of the store.

    The guarantee is of the store and of what is chosen from it. The base model is left as it is: what it learned of the
    examples before, it still knows. So do answers given, logs and caches. Its price is paid with each question,
    which is longer by its demonstrations. An empty store releases nothing.

    Example: ``ERASE(shots=2).release(ERASE(shots=2).fit(examples(lm, records))).prompt(x, "What is it?")``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    shots: int = 4
    clusters: QKMeans = field(default_factory=QKMeans)

    def __post_init__(self) -> None:
        if self.shots < 1:
            raise InputError("erase wants 'shots' from 1 on")

    def fit(self, data: Examples, /) -> Store:
        """Cluster the examples."""
        return Store(self.clusters.fit(data.table), {r.id: r for r in sorted(data.records, key=lambda r: r.id)})

    def delete(self, state: Store, ids: Sequence[str], /) -> tuple[Store, Guarantee]:
        """Take the examples out of the clustering and of the store."""
        clustered, guarantee = self.clusters.delete(state.clustered, ids)
        left = Store(clustered, {i: state.records[i] for i in clustered.rows.ids})
        what = "The store of demonstrations, and not the base model, which is left as it is,"
        return left, retrain_equal(what, guarantee.numbers)

    def release(self, state: Store, /) -> Demonstrations:
        """The example nearest to each centroid, the first by id of several."""
        centroids = self.clusters.release(state.clustered).places
        rows = state.clustered.rows
        found, apart = nearest(rows.places, centroids)
        order = np.lexsort((np.arange(len(found)), apart))
        firsts = {int(found[n]): int(n) for n in reversed(order)}
        chosen = sorted(firsts.values())
        shown = tuple(state.records[rows.ids[n]] for n in chosen)
        return Demonstrations(shown, rows.places[chosen], self.clusters.bits, self.shots)
