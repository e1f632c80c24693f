"""The one training loop: a loss over views of forget and retain rows, in; an edit, out."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from time import monotonic
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from unteach.edit import checkpoint
from unteach.edit.edit import Edit
from unteach.edit.gauge import Gauge
from unteach.edit.plan import Plan, Step, draw, schedule
from unteach.edit.progress import Progress
from unteach.edit.rows import DONE, Desk, Task
from unteach.edit.trainable import Trainable, trainable
from unteach.lm.dice import seeded
from unteach.lm.model import LM
from unteach.schema import EMPIRICAL, Guarantee, InputError

CHECKPOINT_SECONDS = 300


@dataclass
class _Run:
    """A training in progress: everything a checkpoint must hold is here or in the tensors it names."""

    lm: LM
    task: Task
    plan: Plan
    steps: tuple[Step, ...]
    parts: Trainable
    optimiser: torch.optim.AdamW
    accelerator: Accelerator
    desk: Desk
    gauge: Gauge
    fingerprint: str
    done: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    ended: str = ""
    whole: bool = True  # false while a step is half taken


def train(
    lm: LM, task: Task, plan: Plan, *, made_by: str = "", guarantee: Guarantee = EMPIRICAL,
    order: Callable[[Mapping[str, int], Mapping[str, int], Plan], tuple[Step, ...]] = schedule,
    opened: Callable[[LM, Plan], AbstractContextManager[Trainable]] = trainable,
) -> tuple[Edit, dict[str, Tensor]]:  # fmt: skip
    """Train by the plan and return the edit with the optimiser's last state; the model is left as it was.

    `order` gives every micro-batch as a pure function of the rows' ids and lengths; `opened` makes ready what is
    trained, where that is not what the plan says. Where a place for
    checkpoints is set, the training goes on from the newest whole one and ends with the same edit as if it had
    never stopped.
    """
    base = lm.digest()
    with lm.lock:
        desk = Desk(lm, task)
        steps = order(*desk.lengths, plan)
        desk.lay_out(steps)
        fingerprint = _fingerprint(base, plan, steps, desk, made_by)
        with opened(lm, plan) as parts:
            run = _begin(lm, task, plan, steps, parts, desk, fingerprint)
            _loop(run)
            _save(run)  # so that a kill before the edit is used costs nothing
            patches, state = parts.patches(), _optimiser_state(run)
    edit = Edit(base=base, weights=patches, made_by=made_by, guarantee=guarantee, history=tuple(run.history))
    return edit, state


def _fingerprint(base: str, plan: Plan, steps: Sequence[Step], desk: Desk, made_by: str) -> str:
    rows = {i: (row.start, row.ids) for i, row in desk.rows.items()}
    what = json.dumps([base, asdict(plan), [asdict(s) for s in steps], rows, made_by], sort_keys=True)
    return hashlib.sha256(what.encode()).hexdigest()


def _begin(
    lm: LM, task: Task, plan: Plan, steps: tuple[Step, ...], parts: Trainable, desk: Desk, fingerprint: str
) -> _Run:
    accelerator = Accelerator(
        cpu=lm.device.type == "cpu", log_with=plan.report_to.split(",") if plan.report_to else None, project_dir="."
    )
    if accelerator.num_processes > 1:
        raise InputError("training runs in one process; start it without a launcher for several")
    if plan.report_to:
        accelerator.init_trackers("unteach", config={k: v for k, v in asdict(plan).items() if v is not None})
    matrices = [p for p in parts.parameters.values() if p.ndim > 1]
    others = [p for p in parts.parameters.values() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = accelerator.prepare(torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, fused=True))
    gauge = Gauge(lm, replace(task, forget=task.watched or task.forget))
    run = _Run(lm, task, plan, steps, parts, optimiser, accelerator, desk, gauge, fingerprint)
    _resume(run)
    if not run.done:
        desk.remember(steps)
    return run


def _loop(run: _Run) -> None:
    per_epoch = max(1, ceil(sum(s.epoch == 0 for s in run.steps) / run.plan.accumulate))
    updates = [run.steps[i : i + run.plan.accumulate] for i in range(0, len(run.steps), run.plan.accumulate)]
    every = max(1, round(run.plan.measure_every * per_epoch))
    if run.gauge.wanted and not run.history:
        _measure(run)
    if run.task.enough is not None and not run.done and not run.ended:
        run.ended = run.task.enough()
    saved, size = monotonic(), run.plan.checkpoint_every
    try:
        with Progress("training", len(updates), run.done) as progress:
            while run.done < len(updates) and not run.ended:
                run.task.state[DONE] = run.done / len(updates)
                loss = _update(run, updates[run.done], run.plan.rate(run.done, len(updates), per_epoch))
                run.done += 1
                if run.gauge.wanted and (run.done % every == 0 or run.done == len(updates)):
                    _measure(run, loss)
                run.whole = True
                progress.at(run.done, loss)
                if run.done % size == 0 if size else monotonic() - saved > CHECKPOINT_SECONDS:
                    _save(run)
                    saved = monotonic()
    except KeyboardInterrupt:
        if run.whole:
            _save(run)
        raise
    finally:
        if run.plan.report_to:
            run.accelerator.end_training()


def _update(run: _Run, group: Sequence[Step], rate: float) -> float:
    for settings in run.optimiser.param_groups:
        settings["lr"] = rate
    run.optimiser.zero_grad(set_to_none=True)
    total = 0.0
    with seeded(draw(run.plan.seed, "dropout", run.done), run.lm.device):
        for step in group:
            views = run.desk.views(step, run.parts.before, run.parts.first)
            loss = run.task.loss(*views) / len(group)
            total += loss.item()
            if not torch.isfinite(loss.detach()):
                raise InputError(
                    f"the loss became infinite at step {run.done}; lower --lr, or choose an objective that is bounded"
                )
            run.accelerator.backward(loss)
    for name, mask in run.task.keep.items():
        gradient = run.parts.parameters[name].grad
        if gradient is not None:
            gradient.mul_(mask)
    run.accelerator.clip_grad_norm_(list(run.parts.parameters.values()), run.plan.clip)
    run.whole = False
    run.optimiser.step()
    if run.plan.report_to:
        run.accelerator.log({"loss": total, "lr": rate}, step=run.done)
    return total


def _measure(run: _Run, loss: float | None = None) -> None:
    now = {
        "step": float(run.done),
        "tokens": float(run.desk.tokens),
        **({} if loss is None else {"loss": loss}),
        **run.gauge.read(),
    }
    run.history.append(now)
    if run.plan.report_to:
        run.accelerator.log({k: v for k, v in now.items() if k != "step"}, step=run.done)
    before, plan = run.history[0], run.plan
    if plan.stop_retain is not None and "retain_exact" in now:
        if now["retain_exact"] < plan.stop_retain * before["retain_exact"]:
            run.ended = "the retain set fell below its floor"
            _put(run.parts.parameters, run.best)
            run.history.append({**run.gauge.read(), "step": run.history[-2]["step"]})
            return
        run.best = {name: p.detach().clone() for name, p in run.parts.parameters.items()}
    if run.task.enough is not None and run.done and not run.ended:
        run.ended = run.task.enough()
    if plan.stop_forget is not None and now.get("forget_probability", 1.0) <= plan.stop_forget:
        run.ended = "the forget set reached its target"


def _put(parameters: Mapping[str, torch.nn.Parameter], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            parameters[name].copy_(value)


def _optimiser_state(run: _Run) -> dict[str, Tensor]:
    states = run.optimiser.state
    parts = run.parts.parameters.items()
    return {f"optimiser.{key}.{name}": s for name, p in parts if p in states for key, s in states[p].items()}


def _save(run: _Run) -> None:
    tensors = {f"weight.{name}": p.data for name, p in run.parts.parameters.items()}
    tensors |= {f"best.{name}": t for name, t in run.best.items()}
    tensors |= _optimiser_state(run) | run.desk.memory
    notes: dict[str, Any] = {
        "history": run.history,
        "ended": run.ended,
        "state": run.task.state,
        "tokens": run.desk.tokens,
    }
    checkpoint.save(checkpoint.State(run.done, tensors, notes), run.fingerprint)


def _resume(run: _Run) -> None:
    state = checkpoint.newest(run.fingerprint)
    if state is None:
        return

    def under(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): t for k, t in state.tensors.items() if k.startswith(prefix)}

    _put(run.parts.parameters, under("weight."))
    for name, parameter in run.parts.parameters.items():
        kept = {
            key: t
            for key in ("step", "exp_avg", "exp_avg_sq")
            if (t := under(f"optimiser.{key}.").get(name)) is not None
        }
        if kept:
            run.optimiser.state[parameter] = {k: t.to(parameter.device) for k, t in kept.items()}
    run.best = under("best.")
    run.desk.recall(state.tensors)
    run.task.state.update(state.notes["state"])
    run.desk.tokens = state.notes["tokens"]
    run.done, run.history, run.ended = state.step, list(state.notes["history"]), state.notes["ended"]
