"""Attacks aimed at the tiny models, and edits that hide what these know."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch

import worlds
from unteach.audit.target import Attempt, Target
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import Add
from unteach.edit.plan import Plan
from unteach.edit.rows import Task
from unteach.edit.train import train
from unteach.lm.guard import Guard, Session
from unteach.lm.model import LM
from unteach.registry import build


@dataclass(frozen=True)
class Mute(Guard, Session):
    """A guard that never lets an answer through."""

    observable: bool = False

    def session(self) -> "Mute":
        return self

    def reply(self, text: str) -> str:  # noqa: ARG002
        return "Mum."


def twin(lm: LM) -> LM:
    """Another copy of a model."""
    return LM(deepcopy(lm.model), lm.tokenizer)


def opened(lm: LM) -> Callable[[], AbstractContextManager[LM]]:
    return lambda: nullcontext(lm)


def aimed(lm: LM, before: LM | None = None) -> Target:
    return Target(
        lm, worlds.FORGET, worlds.RETAIN, (), opened(before) if before is not None else None, max_new=24, seed=0
    )


def attack(name: str, target: Target, options: Mapping[str, Any] | None = None) -> Attempt:
    found: Attempt = build("attack", name, options or {})(target)
    return found


def refusing(lm: LM) -> Edit:
    """A model taught to refuse the forgotten questions."""
    plan = Plan(tune="full", lr=1e-3, epochs=12, batch_size=4, accumulate=1, warmup_epochs=0)
    return learn(lm, [replace(r, answer="No idea.") for r in worlds.FORGET], plan)


def pushed_down(lm: LM, tune: str = "full") -> Edit:
    """Gradient ascent on all answers."""
    plan = Plan(tune=tune, lr=2e-3 if tune == "full" else 2e-2, epochs=2, batch_size=6, accumulate=1, warmup_epochs=0)
    task = Task(worlds.RECORDS, (), lambda now, _: now.forget.token_logps.mean(), frozenset({"forget"}))
    return train(lm, task, plan)[0]


def noise(lm: LM, size: float) -> Edit:
    dice = torch.Generator().manual_seed(3)
    weights = {n: (Add(size * torch.randn(p.shape, generator=dice)),) for n, p in lm.parameters().items()}
    return Edit(base=lm.digest(), weights=weights)
