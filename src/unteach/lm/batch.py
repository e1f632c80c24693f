"""Rows of token ids side by side: padding, masks, and what rows begin with alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import torch
from jaxtyping import Bool, Int
from torch import Tensor

ALIKE = 0.75  # of the longest row's length: shorter ones are better off in a group of their own


@dataclass(frozen=True)
class Row:
    """One record as token ids; `start` is where its answer begins, `cut` how many tokens did not fit."""

    ids: tuple[int, ...]
    start: int
    cut: int = 0

    @property
    def prompt(self) -> tuple[int, ...]:
        return self.ids[: self.start]


@dataclass(frozen=True)
class Heads:
    """Some heads of each of R tokens, in P places: of each group of rows (b, heads, t)."""

    sources: Int[Tensor, " P"]  # which of the R * heads stands at each place
    returns: Int[Tensor, " RH"]  # where each of them stands, in the one place of several that is read


@dataclass(frozen=True)
class Batch:
    """Rows side by side, padded on the right.

    `answer[b, t]` says that token t of row b is part of the answer and is predicted from the token before it;
    the first token of a row is predicted from nothing and never counts. N is the number of answer tokens.
    `owned` leaves out of `real` what a row begins with as the row before it does: those R tokens are computed.
    """

    ids: Int[Tensor, "B T"]
    real: Bool[Tensor, "B T"]
    answer: Bool[Tensor, "B T"]
    owned: Bool[Tensor, "B T"]
    records: tuple[str, ...]

    @cached_property
    def targets(self) -> Int[Tensor, " N"]:
        return self.ids[self.answer]

    @cached_property
    def rows(self) -> Int[Tensor, " N"]:
        """The row that each answer token belongs to."""
        return self.answer.nonzero()[:, 0]

    @cached_property
    def lengths(self) -> Int[Tensor, " B"]:
        return self.answer.sum(1)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each row's answer tokens begin among the N; one more entry for the end."""
        return (0, *self.lengths.cumsum(0).tolist())

    @cached_property
    def positions(self) -> Int[Tensor, "B T"]:
        """The place of each token in its own row; of what is not read, at most that of the last token read."""
        at = torch.arange(self.ids.shape[1], device=self.ids.device)
        return at.clamp(max=self.real.any(0).sum() - 1).expand_as(self.ids)

    @cached_property
    def places(self) -> Int[Tensor, " R"]:
        """Where each of the R computed tokens stands among the B * T positions."""
        return self.owned.flatten().nonzero()[:, 0]

    @cached_property
    def sources(self) -> Int[Tensor, "B T"]:
        """Which of the R computed tokens stands at each position; 0 where there is none."""
        numbers = torch.where(self.owned, self.owned.flatten().cumsum(0).view_as(self.ids) - 1, 0)
        return numbers.cummax(0).values * self.real  # what a row shares, the nearest row above that does not owns

    @cached_property
    def predicting(self) -> Int[Tensor, " N"]:
        """Which of the R computed tokens each answer token is predicted from: the one before it."""
        return self.sources[:, :-1][self.answer[:, 1:]]

    @cached_property
    def asking(self) -> Int[Tensor, " P"]:
        """Which of the R computed tokens predict one answer token or several, no two alike."""
        return self.predicting.bincount().nonzero()[:, 0]

    @cached_property
    def groups(self) -> tuple[Int[Tensor, "b t"], ...]:
        """The `sources` of rows of like length, longest rows first: they lie side by side inside attention."""
        return tuple(self.sources[rows, :width] for rows, width in self._alike)

    @cached_property
    def returns(self) -> Int[Tensor, " R"]:
        """Where each of the R computed tokens stands when the positions of all `groups` lie end to end."""
        found, before = torch.empty_like(self.places), 0
        for rows, width in self._alike:
            owned = self.owned[rows, :width]
            found[self.sources[rows, :width][owned]] = before + owned.flatten().nonzero()[:, 0]
            before += owned.numel()
        return found

    def heads(self, count: int) -> Heads:
        """Where so many heads of each computed token stand when rows of like length lie side by side, head by head."""
        if count not in self._heads:
            self._heads[count] = self._headed(count)
        return self._heads[count]

    @cached_property
    def _heads(self) -> dict[int, Heads]:
        return {}

    def _headed(self, count: int) -> Heads:
        each = torch.arange(count, device=self.ids.device)[:, None]
        sources, places, before = [], [], 0
        for group in self.groups:
            standing = (group[:, None] * count + each).flatten()
            at = torch.arange(before, before + len(standing), device=self.ids.device)
            sources.append(standing)
            places.append(at.view(len(group), count, -1).transpose(1, 2).reshape(-1, count))
            before += len(standing)
        return Heads(torch.cat(sources), torch.cat(places)[self.returns].flatten())

    @cached_property
    def _alike(self) -> list[tuple[list[int], int]]:
        lengths: list[int] = self.real.sum(1).tolist()
        found: list[tuple[list[int], int]] = []
        for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
            if not found or lengths[row] < ALIKE * found[-1][1]:
                found.append(([], lengths[row]))
            found[-1][0].append(row)
        return found

    @cached_property
    def shares(self) -> bool:
        """Whether rows begin with tokens that are computed for another."""
        return not torch.equal(self.owned, self.real)

    @property
    def padding(self) -> float:
        """The share of positions that hold no token."""
        return 1 - self.real.float().mean().item()


def collate(
    rows: Sequence[Row], records: Sequence[str], *, pad: int, device: torch.device, share: bool = False
) -> Batch:  # fmt: skip
    """Pad rows to the longest of them; with `share`, what a row begins with as the one before it is computed once."""
    width = max((len(r.ids) for r in rows), default=0)
    ids = torch.tensor([(*row.ids, *repeat(pad, width - len(row.ids))) for row in rows], dtype=torch.long)
    ids, at = ids.view(len(rows), width), torch.arange(width)
    ends, starts = (_column(n) for n in ([len(r.ids) for r in rows], [max(r.start, 1) for r in rows]))
    real = at < ends
    owned = real & (at >= _column([0, *map(_shared, rows, rows[1:])][: len(rows)])) if share else real
    ids, real, answer, owned = (x.to(device) for x in (ids, real, real & (at >= starts), owned))
    return Batch(ids, real, answer, owned, tuple(records))


def _column(numbers: Sequence[int]) -> Int[Tensor, "B 1"]:
    return torch.tensor(numbers, dtype=torch.long)[:, None]


def _shared(above: Row, row: Row) -> int:
    """How many tokens two rows have in common from their beginnings."""
    together = list(zip(above.ids, row.ids, strict=False))
    return next((n for n, (a, b) in enumerate(together) if a != b), len(together))
