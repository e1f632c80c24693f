"""Two ways to do the same, timed in turns: what counts is the ratio of their times, and that their results agree."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike

FEWEST = 5  # pairs from which a median is taken
T = TypeVar("T")


class Differ(Exception):
    """The two ways do not give the same."""


@dataclass(frozen=True)
class Pairs:
    """Seconds of each run, in turns: of the straightforward way and of ours."""

    peer: tuple[float, ...]
    ours: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """How many times longer the straightforward way took, pair by pair."""
        return [a / b for a, b in zip(self.peer, self.ours, strict=True)]


def paired(
    peer: Callable[[], T], ours: Callable[[], T], agree: Callable[[T, T], None], *, pairs: int = FEWEST,
    device: str = "cpu",
) -> tuple[Pairs, Pairs]:  # fmt: skip
    """Run the two alternately on one thread; `agree(peer, ours)` raises `Differ` where their results differ.

    Gives processor time and wall time. Never fails on time.
    """
    if pairs < FEWEST:
        raise ValueError(f"a median wants at least {FEWEST} pairs")
    spent: dict[str, list[tuple[float, float]]] = {"peer": [], "ours": []}
    with one_thread():
        for _ in range(pairs):
            first, took = _timed(peer, device)
            spent["peer"].append(took)
            second, took = _timed(ours, device)
            spent["ours"].append(took)
            agree(first, second)
    cpu, wall = (Pairs(*(tuple(t[i] for t in spent[side]) for side in ("peer", "ours"))) for i in (0, 1))
    return cpu, wall


def close(what: str, peer: ArrayLike, ours: ArrayLike, *, within: float = 1e-5) -> float:
    """The greatest difference of two lists of numbers, relative where they exceed 1; refused above `within`."""
    a, b = (np.asarray(x, float) for x in (peer, ours))
    if a.shape != b.shape:
        raise Differ(f"{what}: {a.size} values and {b.size}")
    gap = np.abs(a - b) / np.maximum(1, np.abs(a))
    worst = float(np.where((a == b) | np.isnan(a) & np.isnan(b), 0.0, gap).max(initial=0.0))
    if not worst <= within:
        at = int(np.argmax(gap)) if gap.ndim else 0
        raise Differ(f"{what}: {a.flat[at]:.8g} and {b.flat[at]:.8g} differ by more than {within:g}")
    return worst


def alike(what: str, peer: torch.Tensor, ours: torch.Tensor, *, within: float = 1e-5) -> float:
    """The relative distance |a - b| / |a| of two tensors; refused above `within`."""
    distance = float((peer - ours).norm() / peer.norm())
    if not distance <= within:
        raise Differ(f"{what}: relative distance {distance:.2g}, more than {within:g}")
    return distance


@contextmanager
def one_thread() -> Iterator[None]:
    """Tensor operations take turns inside; afterwards they are as many at a time as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _timed(run: Callable[[], T], device: str) -> tuple[T, tuple[float, float]]:
    """What it gives, and the processor and wall seconds that it took."""
    _finish(device)
    cpu, wall = process_time(), perf_counter()
    found = run()
    _finish(device)
    return found, (process_time() - cpu, perf_counter() - wall)


def _finish(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
