"""What tests of trained editors share: facts to practise on, and gradients taken the ordinary way."""

from collections.abc import Sequence

import torch
from torch import Tensor

import worlds
from unteach.lm.anatomy import stored_in_out
from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.methods.facts.gradients import Change
from unteach.schema import Fact, Probe

ROWS = worlds.RECORDS
FACTS = tuple(  # of each town what is known of the next
    Fact(
        f"fact-{n}", "What is {} known for?", town, ROWS[(n + 1) % len(ROWS)].answer, ROWS[n].answer,
        locality=(Probe(ROWS[(n + 5) % len(ROWS)].prompt, ROWS[(n + 5) % len(ROWS)].answer),),
    )
    for n, town in enumerate(worlds.TOWNS)
)  # fmt: skip


def by_autograd(lm: LM, rows: Sequence[Row], paths: Sequence[str]) -> dict[str, Tensor]:
    """The gradients of weights, as they are stored, of the summed mean losses of rows."""
    weights = {f"{path}.weight": lm.parameters()[f"{path}.weight"].detach().clone().requires_grad_() for path in paths}
    batch = collate(rows, [""] * len(rows), pad=lm.pad, device=lm.device)
    loss = -View(lm.run(batch, weights), slice(0, len(rows))).means.sum()
    return dict(zip(paths, torch.autograd.grad(loss, list(weights.values())), strict=True))


def multiplied_out(lm: LM, change: Change) -> dict[str, Tensor]:
    """What factors add up to, as weights are stored."""
    found = {path: terms.x.T @ terms.delta for path, terms in change.items()}
    return {p: d if stored_in_out(lm.model.get_submodule(p)) else d.T for p, d in found.items()}
