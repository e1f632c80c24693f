"""The same deletion on a local Ray cluster of two workers, one of which is killed midway."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from time import sleep

import pytest
from driven import went_well

import worlds

PARTS = ["--shards", 2, "--slices", 3, "--epochs", 60, "--batch-size", 4, "--rank", 2]


@pytest.fixture
def killer() -> Iterator[list[int]]:
    """Kills the first worker that is seen at a task for a moment."""
    killed: list[int] = []
    done = Event()

    def watch() -> None:
        while not done.is_set() and not killed:
            for place in Path("/proc").glob("[0-9]*"):
                try:
                    busy = b"ray::alone" in (place / "cmdline").read_bytes()
                except OSError:
                    continue
                if busy:
                    sleep(1.5)
                    os.kill(int(place.name), signal.SIGKILL)
                    killed.append(int(place.name))
                    return
            sleep(0.05)

    thread = Thread(target=watch)
    thread.start()
    yield killed
    done.set()
    thread.join()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_ray_cluster_makes_the_same_bytes_though_a_worker_is_killed(tmp_path: Path, killer: list[int]) -> None:
    pytest.importorskip("ray")
    base, rows = worlds.saved(worlds.llama(), tmp_path / "base"), tmp_path / "rows.jsonl"
    lines = [f'{{"id": "{n}", "prompt": "{r.prompt}", "answer": "{r.answer}"}}\n' for n, r in enumerate(worlds.RECORDS)]
    rows.write_text("".join(lines))
    stores = [tmp_path / "one", tmp_path / "two"]
    went_well("train", base, "--data", rows, "--out", stores[0], *PARTS)
    shutil.copytree(*stores)
    for store, how in zip(stores, ("inline", "ray"), strict=True):
        went_well("delete", store, "--ids", "0,1,2", "--policy", "record", "--executor", how)
    assert len(killer) == 1
    one, two = ({f.name for f in (s / "blobs").iterdir()} for s in stores)
    assert one == two
