"""A fact corrected by plain fine-tuning, as it is usually done: Adam on some weights until the new answer is likely."""

from collections.abc import Iterator, Sequence

import torch

from unteach.edit.edit import Edit
from unteach.edit.patches import Put
from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.lm.view import View


def finetuned(
    lm: LM, row: Row, names: Sequence[str], *, lr: float, steps: int, enough: float
) -> Iterator[tuple[float, Edit]]:  # fmt: skip
    """After each step the loss of the answer a token and the edit so far; ends at `enough`, or after `steps`."""
    weights = {n: lm.parameters()[n].detach().clone().requires_grad_() for n in names}
    adam = torch.optim.Adam(weights.values(), lr=lr)
    batch = collate([row], [""], pad=lm.pad, device=lm.device)
    for _ in range(steps + 1):
        loss = -View(lm.run(batch, weights), slice(0, 1)).means.mean()
        puts = {n: (Put(w.detach().clone()),) for n, w in weights.items()}
        yield loss.item(), Edit(base=lm.digest(), weights=puts, made_by="straightforward fine-tuning")
        if loss.item() < enough:
            return
        for weight, gradient in zip(weights.values(), torch.autograd.grad(loss, list(weights.values())), strict=True):
            weight.grad = gradient
        adam.step()
