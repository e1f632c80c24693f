"""A deletion that is killed anywhere ends, when it is gone on with, as if nothing had happened."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from stores import made, micro

from unteach.methods.exact.shards.stage import LMTrainer
from unteach.service import blobs, ledger, releases, shredding, store, vault
from unteach.service.certifying import certify
from unteach.service.deletion import Desk, advance
from unteach.service.requests import notes_of, open_requests, receive, state_of
from unteach.service.store import Store, opened

KILLS = 100
IDS = ["person-1", "person-8", "person-9"]
ENDS = ("blob", "root", "root_after", "touched", "trained", "records")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("stores") / "store")


def everything(place: Path) -> None:
    """Take in the request if it is not there, and bring it to its end."""
    with opened(place) as found:
        desk = Desk(found, micro())
        requests = [r for (r,) in found.db.execute("SELECT id FROM requests")]
        request = requests[0] if requests else receive(desk.store, IDS, "record")
        if state_of(found, request) not in ("certified",):
            advance(desk, request)
        certify(desk, request)


def outcome(place: Path) -> dict[str, Any]:
    """What must be the same however often the process was killed."""
    with opened(place) as found:
        ledger.check(found.db)
        ((request, state),) = found.db.execute("SELECT id, state FROM requests").fetchall()
        assert (state, open_requests(found)) == ("certified", [])
        kinds = [k for (k,) in found.db.execute("SELECT kind FROM events WHERE object = ? ORDER BY seq", (request,))]
        assert len(kinds) == len(set(kinds))  # no state is reached twice
        released = [tuple(r) for r in found.db.execute("SELECT level, blob FROM releases ORDER BY number")]
        assert len(released) == len(set(released))  # nothing is published twice
        notes = {k: v for k, v in notes_of(found, request).items() if k in ENDS}
        nodes = found.db.execute("SELECT id, blob FROM nodes ORDER BY id").fetchall()
        present = sorted(f.name for f in (place / "blobs").iterdir())
        served = found.current().name
        owners = sorted(f.name for f in (place / "data").iterdir())
        keys = sorted(f.name for f in (place / "keys").iterdir())
        assert [*owners, "salt"] == keys
        return {"notes": notes, "nodes": nodes, "released": released, "blobs": present, "served": served,
                "owners": [o.split(".")[0] for o in owners], "kinds": kinds}  # fmt: skip


class Counter:
    """Counts what reaches the disk or the weights, and kills its own process before or after the n-th of it."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            self.tick()
            found = function(*args, **more)
            self.tick()
            return found

        return counted

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def watched(patch: pytest.MonkeyPatch, counter: Counter) -> None:
    for module, name in (
        (blobs, "put"), (vault, "new_key"), (vault, "seal"), (releases, "put"), (store, "put"), (releases, "save"), (shredding, "destroy"),
        (vault, "destroy"), (blobs, "destroy"), (ledger, "append"),
    ):  # fmt: skip
        patch.setattr(module, name, counter(getattr(module, name)))
    patch.setattr(LMTrainer, "_pull", counter(LMTrainer._pull))
    patch.setattr(Store, "enter", counter(Store.enter))


def run_until_killed(place: Path, at: int) -> bool:
    """In a child that was forked from this warm process; whether it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with pytest.MonkeyPatch.context() as patch:
                watched(patch, Counter(at))
                everything(place)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_deletion_that_is_killed_anywhere_ends_the_same(trained: Path, tmp_path: Path) -> None:
    undisturbed = Path(shutil.copytree(trained, tmp_path / "undisturbed"))
    counter = Counter(0)
    with pytest.MonkeyPatch.context() as patch:
        watched(patch, counter)
        everything(undisturbed)
    points, expected = -counter.left, outcome(undisturbed)
    assert points > 60
    dice, killed = Random(0), 0
    at = [*range(1, points + 1), *dice.choices(range(1, points + 1), k=max(0, KILLS - points))]
    for n, first in enumerate(at):
        place = Path(shutil.copytree(trained, tmp_path / f"{n}"))
        killed += run_until_killed(place, first)
        if n % 5 == 0:  # and once more on the way back
            killed += run_until_killed(place, dice.randint(1, 30))
        everything(place)
        assert outcome(place) == expected, f"killed at {first} of {points}"
        shutil.rmtree(place)
    assert killed >= KILLS
