"""What an objective says of its rows depends on those rows alone: not on padding, nor on what shares the batch."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from subjects import SUBJECTS, Subject
from torch import Tensor

import worlds
from unteach.edit.plan import draw
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.registry import build
from unteach.schema import Record

ROWS = worlds.FORGET[:3]
LONG = Record("long", "What is there to say of the coast, its harbours and its lights? " * 2, "A great deal. " * 6)


def told_off(rows: Sequence[Record]) -> list[Record]:
    """The rows with a replacement answer."""
    return [replace(r, id=f"{r.id}|", answer="I have never been there.") for r in rows]


INSTEAD = told_off(ROWS)
OBJECTIVES = [s for s in SUBJECTS if s.entry.kind == "objective"]


def moved(lm: LM) -> dict[str, Tensor]:
    """The weights a little away from the model's own, so that now and before differ."""
    found = {}
    for name, weight in lm.parameters().items():
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(draw("moved", name) % 2**63))
        found[name] = (weight.detach() + 0.02 * noise).requires_grad_()
    return found


def value(
    lm: LM, objective: object, weights: dict[str, Tensor], batch: list[Record], first: int, second: int
) -> Tensor:
    """The objective of ROWS where they lie from `first` on and their replacements from `second` on."""
    laid = lm.batch(batch)

    def view(given: dict[str, Tensor] | None) -> View:
        whole = lm.run(laid, weights=given)
        return View(whole, slice(first, first + 3), instead=View(whole, slice(second, second + 3)))

    with torch.no_grad():
        before = view(None)
        _ = before.logits
    return objective(view(weights), before)


@pytest.mark.parametrize("subject", OBJECTIVES, ids=lambda s: s.entry.name)
def test_padding_and_company_change_nothing(lm: LM, subject: Subject) -> None:
    objective, weights = build("objective", subject.entry.name, {}), moved(lm)
    alone = value(lm, objective, weights, [*ROWS, *INSTEAD], 0, 3)
    company = value(lm, objective, weights, [LONG, *INSTEAD, worlds.RETAIN[0], *ROWS, LONG], 5, 1)
    assert alone.isfinite()
    assert abs(alone.item() - company.item()) <= 1e-6 * max(1.0, abs(alone.item()))
    given = list(weights.values())  # some lie above all that an objective reads
    slopes = [torch.autograd.grad(v, given, allow_unused=True, materialize_grads=True) for v in (alone, company)]
    for one, other in zip(*slopes, strict=True):
        assert (one - other).norm() <= 1e-5 * max(one.norm().item(), 1e-3)


def test_the_rows_are_told_apart(lm: LM) -> None:
    """The comparison above can fail: other rows, another value."""
    weights = moved(lm)
    for subject in OBJECTIVES:
        objective = build("objective", subject.entry.name, {})
        own = value(lm, objective, weights, [*ROWS, *INSTEAD], 0, 3).item()
        others = value(lm, objective, weights, [*worlds.RETAIN[:3], *told_off(worlds.RETAIN[:3])], 0, 3).item()
        assert abs(own - others) > 1e-4
