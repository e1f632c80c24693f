"""Long work in parts: several at a time, and a folder in which nothing but the same work goes on."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from unteach.report.atomic import folder, put
from unteach.schema import InputError


@contextmanager
def team(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """So many processes of one thread each; none for one worker."""
    if workers == 1:
        yield None
        return
    spawn = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool


def each(
    pool: ProcessPoolExecutor | None, work: Callable[[str, int], str], tasks: Sequence[tuple[str, int]]
) -> Iterator[tuple[str, int, str]]:
    """Every task, several at a time; what it says, in the order of the tasks."""
    if pool is None:
        yield from ((name, number, work(name, number)) for name, number in tasks)
        return
    for (name, number), done in [(task, pool.submit(work, *task)) for task in tasks]:
        yield name, number, done.result()


def going_on(out: Path, name: str, settings: Mapping[str, Any], what: str) -> None:
    """Refuse a folder that holds anything but unfinished work with the same settings, which its file `name` marks."""
    mark = sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
    place = out / name
    if place.is_file():
        if json.loads(place.read_text(encoding="utf-8")).get("settings") != mark:
            raise InputError(f"{out}: holds {what} with other settings; choose another folder with --out")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: not an empty folder; choose an empty or a new one with --out")
    put(folder(out) / name, json.dumps({"settings": mark}).encode())
