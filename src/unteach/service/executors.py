"""Who trains the stages of a build: this process, several, or a Ray cluster, a shard each. All write the same bytes.

No record travels: a worker reads what it trains on from the store, for what a queue is given it keeps.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch

from unteach.lm.fingerprint import check_same, fingerprint
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.exact.shards.nodes import Node, grown, parted
from unteach.methods.exact.shards.stage import LMTrainer
from unteach.schema import InputError
from unteach.service.store import Store, looked_into

Executor = Literal["inline", "processes", "ray"]
EXECUTORS: tuple[Executor, ...] = ("inline", "processes", "ray")
RETRIES = 3


@dataclass(frozen=True)
class Job:
    """The stages of one shard that are missing; `parent` is the blob that the first goes on from."""

    place: Path
    shard: int
    found: dict[str, str]  # the fingerprint that the stages are named by
    parent: str
    stages: tuple[Node, ...]


Made = tuple[Node, str, float]  # a stage, its blob, the seconds that it took


def run(job: Job, store: Store, base: LM) -> Iterator[Made]:
    """Train the stages of a shard one after another; blobs are written, the database is left to the caller."""
    check_same(fingerprint(base.device), job.found)
    plan, records = store.plan, parted(store.plan, store.alive()).get(job.shard, ())
    trainer = LMTrainer(base, plan, store.settings.school)
    parent = store.blobs.get(job.parent) if job.parent else None
    began = perf_counter()
    for node, tensors in grown(job.stages, parent, plan, trainer, records):
        yield node, store.blobs.put(tensors), perf_counter() - began
        began = perf_counter()


def alone(job: Job) -> list[Made]:
    """The same in a process of its own, which opens the base once."""
    store = looked_into(job.place)
    try:
        return list(run(job, store, _base(store.settings.base, store.settings.device, int(job.found["threads"]))))
    finally:
        store.close()


@cache
def _base(where: str, device: str, threads: int) -> LM:
    torch.set_num_threads(threads)
    return load(where, device=device)


def in_processes(jobs: Sequence[Job], workers: int) -> Iterator[Iterable[Made]]:
    """What each job made, as it is done; a process that dies leaves its shard to be trained by the next command."""
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(alone, job) for job in jobs]):
            yield done.result()


def in_ray(jobs: Sequence[Job], workers: int) -> Iterator[Iterable[Made]]:
    """The same on the Ray cluster that is running, or on one of so many workers here; a worker that dies is replaced.

    Ray sets the number of OpenMP threads by itself, so a job sets its own. All workers must see the folder of the store.
    """
    ray = _ray()
    mine = not ray.is_initialized()
    if mine:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    try:
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(alone)
        pending = [task.remote(job) for job in jobs]
        while pending:
            (done,), pending = ray.wait(pending)
            yield ray.get(done)
    finally:
        if mine:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError("--executor ray needs Ray; pip install 'unteach[ray]', or choose processes") from None
    return ray


def trained(store: Store, lm: LM, jobs: Sequence[Job], how: Executor, workers: int, say: Callable[[str], None]) -> None:
    """Run all jobs, and enter what they made, stage by stage."""
    made: Iterator[Iterable[Made]]
    if how == "inline" or not jobs:
        made = (run(job, store, lm) for job in jobs)
    else:
        made = {"processes": in_processes, "ray": in_ray}[how](jobs, workers)
    for stages in made:
        for node, blob, seconds in stages:
            store.enter(node, blob, seconds)
            say(f"shard {node.shard}, stage {node.stage}: {node.trained} records")
