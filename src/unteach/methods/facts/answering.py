"""How likely answers are while something beside the weights is sought that makes them so."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.lm.batch import Row, collate
from unteach.lm.model import LM

ROWS_AT_ONCE = 256


def descending(lm: LM, rows: Sequence[Row], sought: Tensor) -> tuple[Float[Tensor, " B"], Tensor]:
    """The mean negative log-probability of each row's answer tokens, and the gradient of their sum."""
    losses, slope = [], torch.zeros_like(sought)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        batch = collate(some, [""] * len(some), pad=lm.pad, device=lm.device)
        logps = lm.logits(batch).float().log_softmax(-1).gather(1, batch.targets[:, None])[:, 0]
        loss = -logps.new_zeros(len(some)).index_add(0, batch.rows, logps) / batch.lengths
        if loss.requires_grad:
            slope += torch.autograd.grad(loss.sum(), sought, allow_unused=True, materialize_grads=True)[0]
        losses.append(loss.detach())
    return torch.cat(losses), slope
