"""Who trains the stages of a build: this process, or several, a shard each. All write the same bytes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import torch

from unteach.lm.fingerprint import check_same, fingerprint
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.exact.shards.nodes import Node
from unteach.methods.exact.shards.shardplan import Step
from unteach.methods.exact.shards.stage import LMTrainer, Tensors
from unteach.service.blobs import Blobs
from unteach.service.store import Settings, Store


@dataclass(frozen=True)
class Job:
    """The stages of one shard that are missing, each with its steps; `parent` is the blob that the first goes on from."""

    place: Path
    settings: Settings
    found: dict[str, str]  # the fingerprint that the stages are named by
    parent: str
    stages: tuple[tuple[Node, tuple[Step, ...]], ...]

    def __repr__(self) -> str:
        return f"Job({len(self.stages)} stages)"


Made = tuple[Node, str, float]  # a stage, its blob, the seconds that it took


def run(job: Job, base: LM) -> Iterator[Made]:
    """Train the stages of a shard one after another; blobs are written, the database is left to the caller."""
    check_same(fingerprint(base.device), job.found)
    trainer, blobs = LMTrainer(base, job.settings.plan, job.settings.school), Blobs(job.place / "blobs")
    parent: Tensors | None = blobs.get(job.parent) if job.parent else None
    for node, steps in job.stages:
        began = perf_counter()
        parent = trainer.train(parent, steps)
        yield node, blobs.put(parent), perf_counter() - began


def alone(job: Job) -> list[Made]:
    """The same in a process of its own, which opens the base once."""
    return list(run(job, _base(job.settings.base, job.settings.device, int(job.found["threads"]))))


@cache
def _base(where: str, device: str, threads: int) -> LM:
    torch.set_num_threads(threads)
    return load(where, device=device)


def in_processes(jobs: Sequence[Job], workers: int) -> Iterator[Iterable[Made]]:
    """What each job made, as it is done; a process that dies leaves its shard to be trained by the next command."""
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(alone, job) for job in jobs]):
            yield done.result()


def trained(store: Store, lm: LM, jobs: Sequence[Job], workers: int, say: Callable[[str], None]) -> None:
    """Run all jobs, and enter what they made, stage by stage."""
    many = workers > 1 and len(jobs) > 1
    made: Iterator[Iterable[Made]] = in_processes(jobs, workers) if many else (run(job, lm) for job in jobs)
    for stages in made:
        for node, blob, seconds in stages:
            store.enter(node, blob, seconds)
            say(f"shard {node.shard}, stage {node.stage}: {node.trained} records")
