"""What heads of shards vote, turned into decisions that err equally often in every group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linprog

from unteach.edit.plan import draw
from unteach.lm.heads import Table
from unteach.methods.exact.guarantees import retrain_equal
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.shards.sisafc import SISAFC, Headed, Heads
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError

Counts = Int[np.ndarray, "a v y"]  # rows by group, votes for class 1, and class
Chances = Float[np.ndarray, "a v"]  # of the decision 1, by group and votes


@dataclass(frozen=True, eq=False)
class Grouped:
    """Rows of two classes, and the group that each belongs to, from 0 on, by id."""

    table: Table
    groups: Mapping[str, int] = field(repr=False)

    def __post_init__(self) -> None:
        if set(self.groups) != set(self.table.ids):
            raise InputError(f"{len(self.table.ids)} rows and the groups of {len(self.groups)}; give each row a group")
        if min(self.groups.values(), default=0) < 0 or not np.isin(self.table.y, (0, 1)).all():
            raise InputError("fair decisions are between the classes 0 and 1, in groups that are numbered from 0 on")

    def kept(self, ids: Sequence[str]) -> "Grouped":
        """These rows alone."""
        return Grouped(self.table.only(ids), {i: self.groups[i] for i in ids})


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Heads, the rows that their votes are weighed by, and the chances that came of it."""

    heads: Headed
    calibration: Grouped
    chances: Chances = field(repr=False)


@dataclass(frozen=True, eq=False)
class Fair:
    """Decisions between the classes 0 and 1 for rows whose groups are known."""

    heads: Heads
    chances: Chances = field(repr=False)

    def probabilities(self, rows: Grouped) -> Float[np.ndarray, " n"]:
        """The chance of the decision 1."""
        groups = _groups(rows)
        if len(groups) and groups.max() >= len(self.chances):
            raise InputError("a row is of a group that no row was calibrated on; calibrate on rows of every group")
        return np.asarray(self.chances[groups, _votes(self.heads, rows.table)])

    def __call__(self, rows: Grouped, seed: int = 0) -> Int[np.ndarray, " n"]:
        """Decisions; where chance decides, it is drawn from the seed and the row's id."""
        coins = np.array([draw(seed, "decision", i) / 2.0**64 for i in rows.table.ids])
        return np.asarray(coins < self.probabilities(rows), np.int64)


@learner("fairsisa", tested_by="test_decisions_err_equally_often_in_every_group")
@dataclass(frozen=True)
class FairSISA:
    """SISA's heads, with decisions of equalised odds: right and false alarms are equally frequent in every group.

        min over p  sum_{a,v} n(a, v, 0) p(a, v) + n(a, v, 1) (1 - p(a, v))
        so that  sum_v n(a, v, y) p(a, v) / n(a, y)  is the same for all a, for y = 0 and y = 1, and 0 <= p <= 1

    p(a, v) is the chance that a row of group a for which v shards vote is decided 1, n are counts over rows held back
    for calibration, a `share` drawn by id. Sharding can make a classifier less fair, and this undoes it:
    Kadhe et al. 2023, arXiv:2312.07420. The linear program is that of Hardt et al. 2016, arXiv:1610.02413, over votes.
    It is the most accurate of all decisions by votes that are fair on those rows; on others they are as fair as a
    sample can tell.

    Calibration rows are learned from and can be deleted like the others: either way the heads that are touched are
    trained again and the program is solved again, and all is, bit for bit, as if the rows had never been there. A group
    without calibration rows of a class is not held to that class's frequency; where none of its rows had so many votes,
    the majority decides. Deleting all rows that heads learn from is refused. Decisions are drawn by chance, and need
    the group of each row.

    Example: ``FairSISA(shards=5).fit(Grouped(table, groups))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "exact"
    shards: int = 5
    share: float = 0.3
    strength: float = 1e-3
    key: str = "unteach"

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError("fairsisa holds a 'share' of the rows between 0 and 1 back for calibration")

    @property
    def sisa(self) -> SISAFC:
        return SISAFC(self.shards, 2, self.strength, self.key)

    def fit(self, data: Grouped, /) -> Calibrated:
        held = [i for i in data.table.ids if self.holds_back(i)]
        return self._calibrated(self.sisa.fit(data.table.without(held)), data.kept(held))

    def delete(self, state: Calibrated, ids: Sequence[str], /) -> tuple[Calibrated, Guarantee]:
        """Take the rows out of heads and calibration, and solve again."""
        gone = asked(ids, (*state.heads.table.ids, *state.calibration.table.ids))
        learned = [i for i in ids if not self.holds_back(i)]
        heads = self.sisa.delete(state.heads, learned)[0] if learned else state.heads
        rest = state.calibration.kept([i for i in state.calibration.table.ids if i not in gone])
        return self._calibrated(heads, rest), retrain_equal("the decisions", {"deleted": len(gone)})

    def release(self, state: Calibrated, /) -> Fair:
        return Fair(self.sisa.release(state.heads), state.chances)

    def holds_back(self, row: str) -> bool:
        """Whether the row of this id is for calibration."""
        return draw(self.key, "calibration", row) < self.share * 2.0**64

    def _calibrated(self, heads: Headed, rows: Grouped) -> Calibrated:
        counts = counted(_votes(self.sisa.release(heads), rows.table), _groups(rows), rows.table.y, len(heads.weights))
        return Calibrated(heads, rows, equalised(counts))


def equalised(counts: Counts) -> Chances:
    """The chances of the fewest errors at equal odds; the majority decides where there is no row."""
    groups, most, _ = counts.shape
    majority = np.broadcast_to(2.0 * np.arange(most) > most - 1, (groups, most)).astype(np.float64)
    seen = counts.sum(2) > 0
    if not seen.any():
        return majority
    rows: list[Chances] = []
    for kind in (0, 1):
        n = counts[:, :, kind].sum(1)
        first, *others = np.flatnonzero(n) if n.any() else (0,)
        for other in others:
            row = np.zeros((groups, most))
            row[other], row[first] = counts[other, :, kind] / n[other], -counts[first, :, kind] / n[first]
            rows.append(row)
    cost = (counts[:, :, 0] - counts[:, :, 1]) / counts.sum()
    equal = {"A_eq": np.stack(rows).reshape(len(rows), -1), "b_eq": np.zeros(len(rows))} if rows else {}
    found = linprog(cost.ravel(), bounds=(0, 1), method="highs", **equal)
    assert found.success, "decisions that ignore the votes are always fair"
    return np.where(seen, np.clip(found.x, 0, 1).reshape(groups, most), majority)


def counted(
    votes: Int[np.ndarray, " n"], groups: Int[np.ndarray, " n"], y: Int[np.ndarray, " n"], shards: int
) -> Counts:
    """How many rows there are of each group, number of votes, and class."""
    found = np.zeros((int(groups.max(initial=-1)) + 1, shards + 1, 2), np.int64)
    np.add.at(found, (groups, votes, y), 1)
    return found


def _votes(heads: Heads, table: Table) -> Int[np.ndarray, " n"]:
    """How many shards vote for class 1."""
    return np.asarray(heads.votes(table.x)[:, 1], np.int64) if table.ids else np.zeros(0, np.int64)


def _groups(rows: Grouped) -> Int[np.ndarray, " n"]:
    return np.array([rows.groups[i] for i in rows.table.ids], np.int64)
