"""Divide-and-conquer k-means: a tree of small clusterings, of which a deletion does one path anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unteach.edit.plan import draw
from unteach.lm.heads import Table
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.heads.lloyd import Lattice, Points, Step, clustered, points
from unteach.methods.exact.heads.qkmeans import Clusters
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError

Place = tuple[int, int]  # height above the leaves, number at that height


@dataclass(frozen=True, repr=False)
class Tree:
    """The rows that are left, on the grid, by leaf; and what the clustering at each node of the tree came to."""

    leaves: Mapping[int, Points]
    nodes: Mapping[Place, Step]

    def __repr__(self) -> str:
        return f"Tree(n={sum(len(leaf.ids) for leaf in self.leaves.values())}, nodes={len(self.nodes)})"


@learner("dckmeans", tested_by="test_a_tree_without_rows_is_the_one_that_never_had_them")
@dataclass(frozen=True)
class DCKMeans:
    """Rows fall to the leaves of a tree by a hash of their ids; each leaf is clustered, and each node above it clusters their centroids.

    Ginart et al. 2019, arXiv:1907.05012. A node has `width` children, and the tree `depth` levels below the root. A
    centroid counts in its parent as many times as rows stand behind it. A deletion clusters the leaves of its rows anew,
    and from there each node up to the root; the rest of the tree never read the rows. All
    numbers are whole, on a grid of 2^-`bits`, and the draws of k-means++ are keyed by the ids of rows: the tree is,
    bit for bit, the one of the rows that are left.

    One row costs about `width`^-`depth` of the rows, and `width` * `k` centroids a level. The guarantee's numbers tell how many
    nodes were done anew, of how many, and how many rows were read. A tree clusters less well than k-means on all
    rows. Its root has at most `k` clusters; no row at all gives nothing to release.

    Example: ``DCKMeans(k=16, width=32).fit(table)``; the classes of the table are not read.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    k: int = 8
    width: int = 16
    depth: int = 1
    iterations: int = 10
    bits: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if not (min(self.k, self.depth, self.iterations) >= 1 and self.width >= 2 and self.bits >= 0):
            raise InputError(
                "dckmeans wants 'k', 'depth' and 'iterations' from 1 on, a 'width' from 2 on, and 'bits' from 0 on"
            )

    def fit(self, data: Table, /) -> Tree:
        """Cluster every leaf, and then upwards."""
        rows = points(data.ids, data.x, self.bits)
        falls: dict[int, list[int]] = {leaf: [] for leaf in range(self.width**self.depth)}
        for n, i in enumerate(rows.ids):
            falls[self._leaf(i)].append(n)
        leaves = {leaf: rows.at(numbers) for leaf, numbers in falls.items()}
        return Tree(leaves, self._grown({}, leaves))

    def delete(self, state: Tree, ids: Sequence[str], /) -> tuple[Tree, Guarantee]:
        """Do the paths from the leaves of the rows to the root anew."""
        touched = {self._leaf(i): state.leaves[self._leaf(i)] for i in ids}
        gone = asked(ids, {i for leaf in touched.values() for i in leaf.ids})
        left = {at: leaf.without(gone) for at, leaf in touched.items()}
        found = Tree({**state.leaves, **left}, self._grown(state.nodes, left))
        redone = sum(found.nodes[place] is not step for place, step in state.nodes.items())
        read = sum(len(leaf.ids) for leaf in left.values())
        told = {"deleted": len(ids), "redone": redone, "nodes": len(found.nodes), "rows_read": read}
        return found, retrain_equal("The tree of clusterings", told)

    def release(self, state: Tree, /) -> Clusters:
        """The centroids of the root."""
        root = state.nodes[self.depth, 0].centroids
        if not len(root):
            raise InputError("there is no row left to cluster; fit the clusters on other rows")
        return Clusters(root, self.bits)

    def _grown(self, nodes: Mapping[Place, Step], leaves: Mapping[int, Points]) -> dict[Place, Step]:
        """The nodes, with these leaves and all that stands above them done anew."""
        found = dict(nodes)
        changed = set(leaves)
        for height in range(self.depth + 1):
            for at in sorted(changed):
                rows = self._below(found, height, at) if height else leaves[at]
                lattice = Lattice(1, np.zeros(rows.places.shape[1], np.int64))
                found[height, at] = clustered(rows, self.k, lattice, self.iterations, self.seed).best
            changed = {at // self.width for at in changed}
        return found

    def _below(self, nodes: Mapping[Place, Step], height: int, at: int) -> Points:
        """The children's centroids as points, without those that no row stands behind."""
        children = range(at * self.width, (at + 1) * self.width)
        steps = [(child, nodes[height - 1, child]) for child in children]
        held = [(f"{height}.{child}.{c}", step, c) for child, step in steps for c in np.flatnonzero(step.counts)]
        places = np.array([step.centroids[c] for _, step, c in held], np.int64)
        weights = np.array([step.counts[c] for _, step, c in held], np.int64)
        return Points(tuple(i for i, _, _ in held), places.reshape(-1, steps[0][1].centroids.shape[1]), weights)

    def _leaf(self, i: str) -> int:
        leaves: int = self.width**self.depth
        return draw(self.seed, "leaf", i) % leaves
