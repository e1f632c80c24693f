"""Training to forget, against the usual way on the same rows: GradDiff, NPO, SimNPO and RMU on TOFU forget10.

Losses and gradients at the same weights must be equal; then whole trainings are timed, ours with its pass over the
reference, and given for one step. Then what our own steps cost: see `costs`.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks import costs
from benchmarks.figures import Figure, circumstances, parser_of, ratio, save, shown
from benchmarks.ours import EPOCHS, PLAN, Finetuning, task_of, trained
from benchmarks.paired import Differ, alike, close, paired
from benchmarks.straightforward import training as straightforward
from benchmarks.straightforward.batches import padded
from benchmarks.subjects import SHAPES, Lesson, lesson, model
from unteach.assemble import make_method
from unteach.audit.benchmarks.tofu import Tofu
from unteach.edit.edit import Edit
from unteach.edit.rows import Desk
from unteach.edit.trainable import trainable
from unteach.lm.model import LM
from unteach.registry import entries

STEPS = {"small": 20, "mid": 20}
COSTS = "costs"  # of our own steps
TRAINED = 1e-3  # of the whole change: Adam turns rounding in small gradients into whole steps


@dataclass(frozen=True)
class Case:
    """A method by its registered name, the usual way to do the same, and how many times faster it should be."""

    name: str
    method: str
    peer: Callable[[LM], straightforward.Objective]
    goals: Mapping[str, float]
    options: Mapping[str, Any] = field(default_factory=lambda: {"tune": "full"})

    @property
    def ours(self) -> Finetuning:
        return make_method(self.method, {**PLAN, **self.options})


def _rmu(lm: LM) -> straightforward.Objective:
    """Steered after a quarter of the blocks, as published: the eighth of 32."""
    return straightforward.rmu(lm.layers // 4 - 1, width=lm.model.config.hidden_size, weight=0.01)


CASES = (
    Case("GradDiff", "graddiff", lambda _lm: straightforward.GRADDIFF, {"small": 1.8, "mid": 1.5}),
    Case("NPO", "npo", lambda _lm: straightforward.NPO, {"small": 2.5, "mid": 1.9}),
    Case("SimNPO", "simnpo", lambda _lm: straightforward.SIMNPO, {"small": 1.8, "mid": 1.5}),
    Case("RMU", "rmu", _rmu, {"small": 6.0, "mid": 6.0}, {}),
)


def main(arguments: list[str]) -> None:
    """Compare, time, and write the results."""
    parser = parser_of("training", __doc__)
    add_options(parser)
    run(parser.parse_args(arguments))


def add_options(parser: argparse.ArgumentParser) -> None:
    """What this benchmark is told beside --data, --pairs and --device."""
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--steps", type=int, help=f"steps of a training; left out: {STEPS}")
    parser.add_argument("--only", nargs="+", choices=[*(c.name for c in CASES), COSTS], help="others stay as they were")


def run(chosen: argparse.Namespace) -> list[Figure]:
    """Every figure, printed as it is found."""
    request, figures = Tofu(chosen.data).request(), []
    wanted = chosen.only or [*(c.name for c in CASES), COSTS]
    for size in chosen.sizes:
        lm = model(SHAPES[size], [*request.forget, *request.retain], device=chosen.device)
        taught = lesson(request, steps=chosen.steps or STEPS[size], epochs=EPOCHS)
        cases = (c for c in there(CASES) if c.name in wanted)
        found = (compared(c, lm, taught, size, pairs=chosen.pairs, device=chosen.device) for c in cases)
        figures += shown(found)
        if COSTS in wanted:
            figures += shown(costs.figures(lm, request, size, pairs=chosen.pairs, device=chosen.device))
    if COSTS in wanted:
        figures += shown([costs.memory(chosen.data)])
    save("training", figures, facts=circumstances(chosen.device), merge=True)
    return figures


def there(cases: tuple[Case, ...]) -> Iterator[Case]:
    """The cases whose method is registered; the others are named."""
    known = {e.name for kind in ("method", "objective") for e in entries(kind)}
    for case in cases:
        if case.method in known:
            yield case
        else:
            print(f"{case.name}: not measured, since there is no '{case.method}' here", flush=True)


def compared(case: Case, lm: LM, taught: Lesson, size: str, *, pairs: int, device: str = "cpu") -> Figure:
    """See that both ways want the same of the weights, then time them over all steps."""
    same_gradient(case, lm, taught)
    spent = paired(*ways(case, lm, taught), partial(same_change, case, lm), pairs=pairs, device=device)
    return ratio(f"{case.name}, {size}", case.goals[size], spent, per=len(taught.steps), device=device)


def ways(case: Case, lm: LM, taught: Lesson) -> tuple[Callable[[], Any], Callable[[], Edit]]:
    """Both trainings, from the lesson's texts on: the first gives a trained copy of the model, ours an edit."""
    train = partial(straightforward.train, lr=PLAN["lr"], weight_decay=PLAN["weight_decay"], pad=lm.pad)
    return lambda: train(lm.model, taught.rows(lm), case.peer(lm)), partial(trained, case.ours, lm, taught)


def same_gradient(case: Case, lm: LM, taught: Lesson, *, within: float = 1e-5) -> tuple[float, float]:
    """Loss and gradient of both ways on the first step's rows, at weights that have moved from the reference."""
    objective = case.peer(lm)
    then = deepcopy(lm.model)
    loss, gradients, now = _ours(case.ours, lm, taught)
    sides = (padded(side, pad=lm.pad, device=lm.device) for side in taught.rows(lm)[0])
    theirs = objective.loss(now, then, *sides)
    theirs.backward()
    wanted = dict(now.named_parameters())
    missing = [n for n in wanted if objective.trained(n) != (n in gradients)]
    if missing:
        raise Differ(f"{case.name}: only one side trains {missing[0]}")
    names = sorted(gradients)
    flat = [torch.cat([of[n].flatten() for n in names]) for of in ({n: wanted[n].grad for n in names}, gradients)]
    worst = close(f"{case.name}: loss", theirs.item(), loss, within=within)
    return worst, alike(f"{case.name}: gradient", *flat, within=within)


def _ours(method: Finetuning, lm: LM, taught: Lesson) -> tuple[float, dict[str, Tensor], Any]:
    """Our loss and gradients, and a copy of the model at the weights they were taken at."""
    task, plan = task_of(method, lm, taught.request)
    desk = Desk(lm, task)
    steps = taught.order(*desk.lengths, plan)
    desk.lay_out(steps)
    dice = torch.Generator().manual_seed(1)
    with trainable(lm, plan) as parts:
        desk.remember(steps)
        with torch.no_grad():
            for p in parts.parameters.values():
                p.add_(0.1 * p.std() * torch.randn(p.shape, generator=dice).to(p.device))
        loss = task.loss(*desk.views(steps[0], parts.before, parts.first))
        loss.backward()
        gradients = {n: p.grad.clone() for n, p in parts.parameters.items() if p.grad is not None}
        copy = deepcopy(lm.model).requires_grad_(True)
    copy.zero_grad()
    return loss.item(), gradients, copy


def same_change(case: Case, lm: LM, policy: Any, edit: Edit) -> None:
    """Both trainings moved the weights by the same."""
    ours, after, before = edit.delta(lm), dict(policy.named_parameters()), lm.parameters()
    flat = [
        torch.cat([of[n].detach().flatten() for n in sorted(ours)])
        for of in ({n: after[n] - before[n] for n in ours}, ours)
    ]
    alike(f"{case.name}: change of the weights", *flat, within=TRAINED)
