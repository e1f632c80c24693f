"""Five steps of AdamW on the golden batch, through our own training, for every trajectory of open-unlearning.

A program, because the width of the processor's vectors decides the order in which numbers are added: the published
figures come from vectors of 256 bits, and Adam makes much of what rounding leaves of a gradient that is nearly 0.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from published import ACROSS, Golden, Seen, Term, composed, copied, noted, said
from torch import Tensor

from unteach.edit.plan import Plan, Step
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.methods.finetune.distillation import PDU

PLAN = Plan(
    tune="full", epochs=5, lr=1e-3, batch_size=8, accumulate=1, warmup_epochs=0, decay="constant", weight_decay=0.0
)
REFERENCE = {"NPO": {"reference"}, "DPO": {"reference", "instead"}}


def run(golden: Golden, case: Mapping[str, Any], precision: torch.dtype, forget: Term | None) -> dict[str, Any]:
    """The losses, the norms of the gradients before clipping, PDU's dual variable, and what the model says at the end."""
    lm, reference = copied(golden.reference, precision), copied(golden.reference, precision)
    args = case["method_args"]
    alpha, losses, duals = args.get("alpha", 0.0), [], []
    needs = {"forget"} | ({"retain"} if alpha else set()) | REFERENCE.get(case["handler"], set())

    def loss(now: Sides, before: Sides) -> Tensor:
        nonlocal alpha
        seen = (Seen(m, golden.sides, s.forget, s.retain) for m, s in ((lm.model, now), (reference.model, before)))
        pushed, kept = composed(case, *seen, forget)
        total = pushed + alpha * kept
        losses.append(total.item())
        if args.get("primal_dual"):
            alpha = PDU(0.0, args["dual_step_size"]).dual(alpha, kept.item())  # the bound is subtracted already
            duals.append(alpha)
        return total

    ids = {side: tuple(f"{side}/{r.id}" for r in golden.records[side]) for side in ("forget", "retain")}
    steps = tuple(Step(ids["forget"], ids["retain"] if alpha else (), epoch) for epoch in range(5))
    instead = {r.id: r.answer for r in golden.records["alternate"]}
    task = Task(
        golden.records["forget"], golden.records["retain"], loss, frozenset(needs), lambda r, _: (instead[r.id],)
    )
    with noted() as norms:
        edit, _ = train(lm, task, PLAN, order=lambda *_: steps)
    with edit.on(lm):
        ends = {side: said(lm, golden.records[side]) for side in ("forget", "retain")}
    return {"losses": losses, "norms": norms, "duals": duals, **ends}


def all_of(golden: Golden) -> dict[str, dict[str, Any]]:
    """Each trajectory; where theirs adds across, that too; and what double precision makes of two."""
    cases = golden.read("trajectories.json")["runs"]
    found = {name: run(golden, case, torch.float32, None) for name, case in cases.items()}
    for name, case in cases.items():
        if case["handler"] in ACROSS:
            found[f"{name} across"] = run(golden, case, torch.float32, ACROSS[case["handler"]])
    exact = {"NPO exact": "NPO_beta0.1_NLL", "SatImp exact": "SatImp_default_yaml"}
    return found | {name: run(golden, cases[of], torch.float64, None) for name, of in exact.items()}


if __name__ == "__main__":
    width = torch.backends.cpu.get_cpu_capability()
    print(json.dumps({"width": width, "runs": all_of(Golden(Path(sys.argv[1])))}))
