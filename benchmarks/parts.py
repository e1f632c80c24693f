"""Long runs in parts: each kept on disk when it is done, several at a time in processes of one thread."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from unteach.report.atomic import folder, put


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What a part of the run gave, from the disk where it is there."""
    if not path.exists():
        put(folder(path.parent) / path.name, json.dumps(make()).encode())
    return json.loads(path.read_text(encoding="utf-8"))


def each(tasks: Sequence[partial[None]], workers: int, *, apart: bool = False) -> None:
    """Do every task; one that fails stops no other, and is told of at the end.

    With `apart` each has a process of its own, so that the most memory it held is its own.
    """
    spawn = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, max_tasks_per_child=1 if apart else None) as pool:
        for done in [pool.submit(_alone, task) for task in tasks]:
            done.result()


def _alone(task: partial[None]) -> None:
    torch.set_num_threads(1)
    task()
