"""How strongly a row would still change a model's weights."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unteach.lm.model import LM
from unteach.schema import Record


def gradient_norm(lm: LM, records: Sequence[Record], p: float = 2.0) -> list[float | None]:
    """Mean over the weight tensors of the p-norm of the gradient of a row's loss, the mean over its answer tokens.

    One row at a time. The gradients are those of stand-ins that share the weights' storage: the model stays in
    evaluation mode and never holds a gradient itself. Wang et al. 2024, arXiv:2402.17012.
    """
    weights = {name: w.detach().requires_grad_() for name, w in lm.parameters().items() if w.is_floating_point()}
    with torch.enable_grad():
        return [_norm(lm, record, weights, p) for record in records]


def _norm(lm: LM, record: Record, weights: Mapping[str, Tensor], p: float) -> float | None:
    batch = lm.batch([record])
    if not len(batch.targets):
        return None
    loss = torch.nn.functional.cross_entropy(lm.logits(batch, weights).float(), batch.targets)
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    norms = [torch.linalg.vector_norm(g.float(), p) for g in found if g is not None]
    return float(torch.stack(norms).sum()) / len(weights)
