"""Work in a forked child that is killed at its n-th event: a step of training, or a change of the disk.

Importing torch takes many seconds, so the children are forked from a warm parent. When a child was killed, the
power is lost too: a file that was written but not yet forced onto the disk is cut in half, and a new folder whose
entries were not loses one of them.
"""

import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import worlds
from unteach.edit import train
from unteach.edit.plan import Plan
from unteach.schema import Request

FORKS = pytest.mark.skipif(
    torch.cuda.is_available(), reason="NOT TESTED: autograd's threads do not survive a fork; hide the accelerator"
)
STEPS = 3
PLAN = Plan(
    rank=2, lr=1e-3, epochs=STEPS, batch_size=2, accumulate=1, checkpoint_every=1, stop_retain=0.01, measure_every=2
)
REQUEST = Request(worlds.FORGET[:2], worlds.RETAIN[:2])
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}


@dataclass(frozen=True)
class Ended:
    """How a child ended: what it returned (None if it was killed), and how many events it had seen."""

    returned: Any
    events: int


def in_a_child(work: Callable[[Path], Any], place: Path, *, kill_at: int | None = None) -> Ended:
    """Fork, do the work in a folder and return its JSON-able result; with `kill_at`, SIGKILL before that event (from 0)."""
    place.mkdir(exist_ok=True)
    safe = {_identity(path.stat()) for path in place.rglob("*")}
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside the threads of a test runner
        child = os.fork()
    if child == 0:
        os.close(reading)
        _live(work, place, kill_at, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = [json.loads(line) for line in pipe.read().splitlines()]
    status = os.waitpid(child, 0)[1]
    last = {kind: value for kind, value in told if kind != "synced"}
    if kill_at is None or not os.WIFSIGNALED(status):
        assert status == 0, last.get("failed")
        return Ended(last["returned"], last["events"])
    assert os.WTERMSIG(status) == signal.SIGKILL
    _lose_power(place, safe | {tuple(value) for kind, value in told if kind == "synced"})
    return Ended(None, kill_at)


def _identity(about: os.stat_result) -> tuple[int, ...]:
    return about.st_ino, about.st_size, about.st_mtime_ns


def _lose_power(place: Path, safe: set[tuple[int, ...]]) -> None:
    older = {inode for inode, *_ in safe}
    lost = [p for p in sorted(place.rglob("*")) if _identity(p.stat()) not in safe]
    for path in lost:
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)
    for folder in (p for p in lost if p.is_dir() and p.stat().st_ino not in older):
        for path in sorted(p for p in folder.iterdir() if p.is_file())[-1:]:
            path.unlink()


def _live(work: Callable[[Path], Any], place: Path, kill_at: int | None, pipe: int) -> None:
    count = 0

    def event() -> None:
        nonlocal count
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    def tell(kind: str, value: Any) -> None:
        os.write(pipe, json.dumps([kind, value]).encode() + b"\n")

    try:
        _watch(event, tell, place)
        returned = work(place)
        event()  # the last: the work is done
        tell("returned", returned)
        tell("events", count)
        os._exit(0)
    except BaseException:
        tell("failed", traceback.format_exc())
        os._exit(1)


def _watch(event: Callable[[], None], tell: Callable[[str, Any], None], place: Path) -> None:
    """Call `event` before and after each step of training, before each change below `place`, around each write."""

    def heard(name: str, args: tuple[Any, ...]) -> None:
        written = name == "open" and (set(args[1] or "") & set("wax+") or args[2] & (os.O_WRONLY | os.O_RDWR))
        relative = name in ("os.remove", "os.rmdir") and args[-1] != -1  # inside of shutil.rmtree
        if relative or ((written or name in CHANGES) and str(args[0]).startswith(str(place))):
            event()

    update = train._update

    def fsync(handle: int) -> None:  # said, not done: no child survives a real loss of power
        event()
        tell("synced", _identity(os.fstat(handle)))

    def updating(*args: Any) -> float:
        event()
        loss: float = update(*args)
        event()
        return loss

    sys.addaudithook(heard)
    os.fsync, train._update = fsync, updating
    for module in [m for name, m in sys.modules.items() if name.startswith("unteach.") and hasattr(m, "save_file")]:
        module.save_file = _around(module.save_file, event)  # it writes past Python, where no one hears it


def _around(real: Callable[..., None], event: Callable[[], None]) -> Callable[..., None]:
    def writing(*args: Any, **more: Any) -> None:
        event()
        real(*args, **more)
        event()

    return writing


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many steps of training are taken inside."""
    taken, update = [0], train._update

    def updating(*args: Any) -> float:
        taken[0] += 1
        return update(*args)

    train._update = updating
    try:
        yield taken
    finally:
        train._update = update
