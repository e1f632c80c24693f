"""Forgetting as it is usually trained: two passes a step, every logit of every position, a second model beside it.

Full fine-tuning of `transformers` models with AdamW. GradDiff, NPO, SimNPO and RMU with their usual retain terms.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid

from benchmarks.straightforward.batches import IGNORED, Inputs, padded
from unteach.lm.batch import Row

Side = Sequence[Row]


@dataclass(frozen=True)
class Objective:
    """A loss of (model, copy of it as it was, forget batch, retain batch); `trained` picks parameters by name."""

    loss: Callable[[Any, Any, Inputs, Inputs], Tensor]
    reference: bool = False
    trained: Callable[[str], bool] = lambda _name: True


def train(
    model: nn.Module, steps: Sequence[tuple[Side, Side]], objective: Objective, *, lr: float, weight_decay: float = 0.0,
    clip: float = 1.0, pad: int,
) -> nn.Module:  # fmt: skip
    """A trained copy of the model after one optimiser step on each pair of forget and retain rows."""
    policy = deepcopy(model).requires_grad_(True)
    reference = deepcopy(model).requires_grad_(False) if objective.reference else None
    chosen = [p for name, p in policy.named_parameters() if objective.trained(name)]
    groups = [{"params": [p for p in chosen if p.ndim > 1], "weight_decay": weight_decay},
              {"params": [p for p in chosen if p.ndim <= 1], "weight_decay": 0.0}]  # fmt: skip
    optimiser = torch.optim.AdamW([g for g in groups if g["params"]], lr=lr)
    device = chosen[0].device
    for forget, retain in steps:
        loss = objective.loss(policy, reference, *(padded(rows, pad=pad, device=device) for rows in (forget, retain)))
        loss.backward()
        nn.utils.clip_grad_norm_(chosen, clip)
        optimiser.step()
        policy.zero_grad()
    return policy


def row_sums(model: Any, batch: Inputs) -> Tensor:
    """(B,) log-probability of each whole answer."""
    logits = model(**batch).logits[:, :-1]
    losses = cross_entropy(logits.transpose(1, 2), batch["labels"][:, 1:], reduction="none", ignore_index=IGNORED)
    return -losses.sum(1)


def graddiff(model: Any, _reference: Any, forget: Inputs, retain: Inputs) -> Tensor:
    """Up the loss of the forget rows, down that of the retain rows."""
    return model(**retain).loss - model(**forget).loss


def npo(model: Any, reference: Any, forget: Inputs, retain: Inputs, beta: float = 0.1) -> Tensor:
    """Zhang et al. 2024, arXiv:2404.05868, beside the retain NLL."""
    now = row_sums(model, forget)
    with torch.no_grad():
        then = row_sums(reference, forget)
    return -2 / beta * logsigmoid(-beta * (now - then)).mean() + model(**retain).loss


def simnpo(
    model: Any, _reference: Any, forget: Inputs, retain: Inputs, beta: float = 4.5, weight: float = 0.125
) -> Tensor:
    """Fan et al. 2024, arXiv:2410.07163, beside the retain NLL."""
    means = row_sums(model, forget) / (forget["labels"][:, 1:] != IGNORED).sum(1)
    return weight * -2 / beta * logsigmoid(-beta * means).mean() + model(**retain).loss


def rmu(layer: int, *, width: int, weight: float, coefficient: float = 20.0, below: int = 2) -> Objective:
    """Li et al. 2024, arXiv:2403.03218: the down-projections of three blocks are trained, all gradients computed.

    The states that predict answer tokens, a mean over each row and then over rows.
    """
    drawn = torch.rand(width, generator=torch.Generator().manual_seed(0))
    vector = coefficient * drawn / drawn.norm()
    names = {f"model.layers.{i}.mlp.down_proj.weight" for i in range(max(0, layer - below), layer + 1)}

    def loss(model: Any, reference: Any, forget: Inputs, retain: Inputs) -> Tensor:
        away = _row_means(_states(model, layer, forget) - vector.to(forget["input_ids"].device), forget)
        with torch.no_grad():
            then = _states(reference, layer, retain)
        kept = _row_means(_states(model, layer, retain) - then, retain)
        return weight * away.mean() + kept.mean()

    return Objective(loss, reference=True, trained=names.__contains__)


def _states(model: Any, layer: int, batch: Inputs) -> Tensor:
    """(B, T, D) states after a block, kept while the whole model runs."""
    kept: list[Tensor] = []
    block = model.get_submodule(f"model.layers.{layer}")
    handle = block.register_forward_hook(lambda _m, _i, out: kept.append(out[0] if isinstance(out, tuple) else out))
    try:
        model(**batch)
    finally:
        handle.remove()
    return kept[0]


def _row_means(gaps: Tensor, batch: Inputs) -> Tensor:
    """(B,) mean squared gap over coordinates and over the positions that predict answer tokens."""
    answers = (batch["labels"][:, 1:] != IGNORED).float()
    return (gaps[:, :-1].square().mean(-1) * answers).sum(1) / answers.sum(1)


GRADDIFF, NPO, SIMNPO = Objective(graddiff), Objective(npo, reference=True), Objective(simnpo)
