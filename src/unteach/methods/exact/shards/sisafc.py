"""A head for each shard, on features of a trunk that nobody trains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from unteach.edit.plan import draw
from unteach.lm.heads import Classes, Features, Table
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.heads.logistic import TOLERANCE, Loss, Weights, minimise, nothing, prepared
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of several shards, asked together."""

    weights: tuple[Weights, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.weights:
            raise InputError("no shard has a row left to make a head of; fit one on other rows")

    def each(self, x: Features) -> Float[np.ndarray, "s n k"]:
        """The probabilities of the classes, by shard: each class against the rest, made to add up to 1."""
        rows = x / np.maximum(1, np.linalg.norm(x, axis=1, keepdims=True))  # as those that were learned from
        chance = np.stack([expit(rows @ w.T) for w in self.weights])
        if chance.shape[2] == 1:
            return np.concatenate([1 - chance, chance], 2)
        return np.asarray(chance / np.maximum(chance.sum(2, keepdims=True), np.finfo(np.float64).tiny))

    def probabilities(self, x: Features) -> Float[np.ndarray, "n k"]:
        """Their mean over the shards."""
        return np.asarray(self.each(x).mean(0))

    def votes(self, x: Features) -> Float[np.ndarray, "n k"]:
        """How many shards find each class the most likely."""
        said = self.each(x)
        return np.asarray((said.argmax(2)[..., None] == np.arange(said.shape[2])).sum(0), np.float64)

    def __call__(self, x: Features) -> Classes:
        """The class of the greatest mean."""
        return np.asarray(self.probabilities(x).argmax(1), np.int64)


@dataclass(frozen=True, eq=False)
class Headed:
    """The rows that are left, and the weights of each shard that has any."""

    table: Table
    weights: Mapping[int, Weights] = field(repr=False)


@learner("sisafc", tested_by="test_a_head_that_lost_rows_is_the_one_that_never_had_them")
@dataclass(frozen=True)
class SISAFC:
    """Logistic regression for each shard of the rows, on features of a frozen trunk; asked together as a mean.

    Kumar et al. 2022, arXiv:2212.09573, after the SISA of Bourtoule et al. 2021. The shard of a row follows from
    `key` and its id alone. Each head begins at 0 and is minimised to the last digits by Newton's method, for each class
    against the rest with a penalty of `strength`, so that it is a function of its shard's rows: a head that loses rows
    is trained again on those left, and equals, bit for bit, the one that never had them, on a machine with the same
    fingerprint. There are no slices, since a head has no stages.

    A deletion costs one head of n / `shards` rows; a shard that has lost all its rows says nothing. Not shown: that the
    features are free of the rows; the trunk must not have been taught them.

    Example: ``SISAFC(shards=4, classes=3).fit(features(lm, records))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    shards: int = 4
    classes: int = 2
    strength: float = 1e-3
    key: str = "unteach"

    def __post_init__(self) -> None:
        if not (self.shards >= 1 and self.classes >= 2 and self.strength > 0):
            raise InputError("sisafc wants 1 shard or more, 2 'classes' or more, and 'strength' above 0")

    def fit(self, data: Table, /) -> Headed:
        return Headed(data, self._heads(data, range(self.shards)))

    def delete(self, state: Headed, ids: Sequence[str], /) -> tuple[Headed, Guarantee]:
        """Train the heads of the rows' shards again."""
        touched = {self.shard(i) for i in asked(ids, state.table.ids)}
        left = state.table.without(ids)
        kept = {s: w for s, w in state.weights.items() if s not in touched}
        after = Headed(left, dict(sorted((kept | self._heads(left, touched)).items())))
        trained = sum(self.shard(i) in touched for i in left.ids)
        return after, retrain_equal("every head", {"trained": trained})

    def release(self, state: Headed, /) -> Heads:
        return Heads(tuple(state.weights.values()))

    def shard(self, row: str) -> int:
        """The shard of the row of this id."""
        return draw(self.key, "shard", row) % self.shards

    def _heads(self, table: Table, shards: Sequence[int] | range | set[int]) -> dict[int, Weights]:
        parts = {s: table.only([i for i in table.ids if self.shard(i) == s]) for s in sorted(shards)}
        return {s: self._head(part) for s, part in parts.items() if part.ids}

    def _head(self, part: Table) -> Weights:
        rows = prepared(part, self.classes)
        start = nothing(rows, self.classes)
        found = minimise(Loss.of(rows, self.strength, start), start)
        if found.residual > TOLERANCE * len(rows.ids):
            raise InputError("a head does not reach its minimum; raise 'strength'")
        return found.weights
