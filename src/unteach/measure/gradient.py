"""How strongly a row would still change a model's weights."""

from collections.abc import Sequence

import torch

from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.measure.answers import in_order
from unteach.measure.perexample import gradients, norm, separable
from unteach.schema import Record

AT_ONCE = 1024  # positions in one backward pass, which keeps what every module put out


def gradient_norm(lm: LM, records: Sequence[Record], p: float = 2.0) -> list[float | None]:
    """Mean over the weight tensors of the p-norm of the gradient of a row's loss, the mean over its answer tokens.

    Many rows in one backward pass where their gradients can be told apart, else one row at a time. The gradients are
    those of stand-ins that share the weights' storage: the model stays in evaluation mode and never holds a gradient
    itself. Wang et al. 2024, arXiv:2402.17012.
    """
    rows = [lm.encoder.row(r) for r in records]
    answered = [i for i, row in enumerate(rows) if len(row.ids) > max(row.start, 1)]
    found: dict[int, float | None] = dict.fromkeys(range(len(rows)))
    measure = _together if separable(lm) else _alone
    for part in in_order(lm, [rows[i] for i in answered], AT_ONCE):
        some = [answered[k] for k in part]
        found |= zip(some, measure(lm, [rows[i] for i in some], p), strict=True)
    return list(found.values())


def _together(lm: LM, rows: Sequence[Row], p: float) -> list[float]:
    count = sum(w.is_floating_point() for w in lm.parameters().values())
    return [float(torch.stack([norm(shares, p) for shares in row]).sum()) / count for row in gradients(lm, rows)]


def _alone(lm: LM, rows: Sequence[Row], p: float) -> list[float]:
    weights = {name: w.detach().requires_grad_() for name, w in lm.parameters().items() if w.is_floating_point()}
    found = []
    for row in rows:
        batch = collate([row], [""], pad=lm.pad, device=lm.device)
        with torch.enable_grad():
            loss = torch.nn.functional.cross_entropy(lm.logits(batch, weights).float(), batch.targets)
            grads = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        norms = [torch.linalg.vector_norm(g.float(), p) for g in grads if g is not None]
        found.append(float(torch.stack(norms).sum()) / len(weights))
    return found
