"""What our own training steps cost: objectives against plain fine-tuning, padding, measuring, memory."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.figures import Figure, ratio
from benchmarks.ours import EPOCHS, PLAN, learned, task_of, trained
from benchmarks.paired import one_thread, paired
from benchmarks.subjects import ROWS, lesson
from unteach.assemble import make_method
from unteach.edit.edit import Edit
from unteach.edit.gauge import Gauge
from unteach.edit.plan import Plan, schedule
from unteach.edit.rows import Desk, Sides, Task
from unteach.edit.trainable import trainable
from unteach.lm.anatomy import blocks
from unteach.lm.model import LM
from unteach.registry import entries, find
from unteach.schema import Request

STEPS = 10  # of a training whose step is compared
HARDEST = "small"  # where the output head and what surrounds a step weigh most
FLOOR, WHOLE_FLOOR = 1.2, 1.6  # times a plain step; the second where the reference's whole distribution is wanted
PADDING, MEASURING, MEMORY = 0.08, 0.05, 1.3
WATCHED = 2  # epochs of the training whose measuring is timed
PROCESSES = 3


def figures(lm: LM, request: Request, size: str, *, pairs: int, device: str = "cpu") -> Iterator[Figure]:
    """Every figure of one model."""
    for name, keep in settings() if size == HARDEST else ():
        yield floor(name, keep, lm, request, size, pairs=pairs, device=device)
    yield padding(lm, request, size)
    yield positions(lm, request, size)
    yield measuring(lm, request, size)


def settings() -> list[tuple[str, str]]:
    """Every objective with the retain term it was published with, and ascent beside the retain terms on answers."""
    goals = {e.name: find("objective", e.name) for e in entries("objective")}
    forget = [(name, "") for name, goal in goals.items() if goal.role == "forget"]
    held = [name for name, goal in goals.items() if goal.role == "retain" and "hidden" not in goal.needs]
    return [*forget, *(("ga", name) for name in held)]


def floor(
    name: str, keep: str, lm: LM, request: Request, size: str, *, pairs: int, device: str = "cpu"
) -> Figure:  # fmt: skip
    """A step of an objective, its share of the pass over the reference included, in plain steps on the same rows."""
    taught = lesson(request, steps=STEPS, epochs=EPOCHS)
    tune = {} if hasattr(find("objective", name), "tune") else {"tune": "full"}
    method = make_method(name, {**PLAN, **tune, **({"retain_term": keep} if keep else {})})
    task, plan = task_of(method, lm, taught.request)
    plain, everything = _plain(task), replace(plan, tune="full")
    spent = paired(
        partial(learned, plain, everything, lm, taught), partial(trained, method, lm, taught), _any, pairs=pairs,
        device=device,
    )  # fmt: skip
    what = f"a step of {name}{f' with {keep}' if keep else ''} in plain steps, {size}"
    goal = WHOLE_FLOOR if "reference_logits" in task.needs else FLOOR
    return ratio(what, goal, spent, per=STEPS, device=device, at_least=False)


def _plain(task: Task) -> Task:
    """Fine-tuning on all rows that a task reads."""

    def loss(now: Sides, _before: Sides) -> Tensor:
        views = (now.forget, now.forget.instead, now.retain)
        return -torch.cat([v.token_logps for v in views if len(v.lengths)]).mean()

    return Task(task.forget, task.retain, loss, task.needs - {"reference", "reference_logits", "hidden"}, task.instead)


def _any(_peer: Edit, _ours: Edit) -> None:
    """Two different aims: there is nothing to agree on."""


def padding(lm: LM, request: Request, size: str) -> Figure:
    """The share of positions inside attention that hold no token, over the epochs of a training."""
    desk = _desk(lm, request)
    shares = []
    for seed in range(EPOCHS):
        steps = schedule(*desk.lengths, Plan(epochs=1, batch_size=ROWS, accumulate=1, seed=seed))
        batches = [lm.batch([desk.records[i] for i in (*s.forget, *s.retain)]) for s in steps]
        side_by_side = sum(group.numel() for batch in batches for group in batch.groups)
        shares.append(1 - sum(len(batch.places) for batch in batches) / side_by_side)
    return _share(f"padding inside attention, {size}", shares, PADDING)


def positions(lm: LM, request: Request, size: str) -> Figure:
    """The share of the positions in a block's feed-forward half that hold no token, over the steps of an epoch.

    Below 0 where rows begin alike: what they share is computed once.
    """
    desk = _desk(lm, request)
    plan = Plan(tune="full", epochs=1, batch_size=ROWS, accumulate=1)
    shares: list[float] = []
    seen: list[int] = []
    handle = blocks(lm.model)[0].mlp.register_forward_pre_hook(lambda _m, args: seen.append(args[0][..., 0].numel()))
    try:
        with torch.no_grad(), trainable(lm, plan) as parts:
            for step in schedule(*desk.lengths, plan)[:EPOCHS]:
                now, _ = desk.views(step, parts.before, parts.first)
                assert now.retain.logits is not None
                tokens = sum(len(desk.rows[i].ids) for i in (*step.forget, *step.retain))
                shares.append(1 - tokens / seen.pop())
    finally:
        handle.remove()
    return _share(f"padding in the forward pass outside attention, {size}", shares, PADDING)


def _desk(lm: LM, request: Request) -> Desk:
    return Desk(lm, task_of(make_method("graddiff", {}), lm, request)[0])


def measuring(lm: LM, request: Request, size: str) -> Figure:
    """The share of a training of ten epochs that measuring takes: once before it and once after each epoch.

    Timed over fewer epochs, whose cost is that of any other.
    """
    clock = process_time if lm.device.type == "cpu" else perf_counter
    spent: list[float] = []
    read = Gauge.read

    def timed(gauge: Gauge) -> dict[str, float]:
        began = clock()
        found = read(gauge)
        spent.append(clock() - began)
        return found

    method = make_method("npo", {**PLAN, "tune": "full", "epochs": WATCHED})
    began = clock()
    with one_thread(), patch.object(Gauge, "read", timed):
        method(lm, request)
    epoch = (clock() - began - sum(spent)) / WATCHED
    shares = [(EPOCHS + 1) * s / ((EPOCHS + 1) * s + EPOCHS * epoch) for s in spent]
    return _share(f"measuring during a training, {size}", shares, MEASURING)


def _share(what: str, shares: Sequence[float], goal: float) -> Figure:
    return Figure(what, median(shares), min(shares), max(shares), goal, at_least=False, unit="%")


def memory(data: str) -> Figure:
    """The peak of an adapter edit above the loaded model against that of a plain LoRA step, each in its own process."""
    peer, ours = ([_megabytes(side, data) for _ in range(PROCESSES)] for side in ("plain", "ours"))
    ratios = [b / a for a, b in zip(peer, ours, strict=True)]
    return Figure(
        "peak memory of an adapter edit, 110 million parameters", median(ratios), min(ratios), max(ratios), MEMORY,
        at_least=False, peer=median(peer), ours=median(ours), unit="MB",
    )  # fmt: skip


def _megabytes(whose: str, data: str) -> float:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.lora_step", whose, data], cwd=Path(__file__).parents[1],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return float(done.stdout)
