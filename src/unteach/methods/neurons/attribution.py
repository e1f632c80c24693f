"""What each MLP neuron gives to the probability of single tokens of an answer: integrated gradients.

A token's probability is watched while the activations of one layer, at the place that predicts the token, grow together
from 0 to what they are. Sundararajan et al. 2017, arXiv:1703.01365.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.lm.batch import Batch, Row
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out

AT_ONCE = 256  # rows in one pass


def attributions(lm: LM, row: Row, tokens: Sequence[int], steps: int) -> list[Float[Tensor, " F"]]:
    """Layer by layer, IG_j = a_j / M * sum over m < M of dP(a (m + 1/2) / M) / da_j, summed over tokens of a row.

    Over the neurons j of a layer IG sums to P(a) - P(0), up to what the midpoint rule leaves, which falls with 1 / M^2.
    """
    still = {name: w.detach() for name, w in lm.parameters().items()}
    paths = [mlp_out(lm, n) for n in range(lm.layers)]
    found: list[Tensor] = []
    many = max(1, AT_ONCE // steps)
    parts = [fan(lm, row, tokens[at : at + many], steps) for at in range(0, len(tokens), many)]
    for path in paths:
        given = [_given(lm, batch, path, midpoints(len(batch.targets), steps), still) for batch in parts]
        found.append(torch.stack(given).sum(0) / steps)
    return found


def midpoints(rows: int, steps: int) -> Float[Tensor, " K"]:
    """(m + 1/2) / M for m < M, again and again."""
    return ((torch.arange(rows, dtype=torch.float64) % steps) + 0.5) / steps


def fan(lm: LM, row: Row, tokens: Sequence[int], steps: int) -> Batch:
    """The row, and for each of some of its tokens `steps` rows that end with it and compute the place before it alone.

    The last token comes first: what stands before its place a row reads from the nearest row above that computes it,
    which is then the whole one.
    """
    ends = torch.tensor([max(tokens), *sorted(list(tokens) * steps, reverse=True)])[:, None]
    at, whole = torch.arange(int(ends[0]) + 1), torch.arange(len(ends))[:, None] == 0
    answer = (at == ends) & ~whole
    owned = torch.where(whole, at < ends, at == ends - 1)
    ids = torch.tensor(row.ids[: len(at)]).expand(len(ends), -1)
    ids, real, answer, owned = (x.to(lm.device) for x in (ids, at <= ends, answer, owned))
    return Batch(ids, real, answer, owned, ("",) * len(ends))


def _given(lm: LM, batch: Batch, path: str, shares: Tensor, still: dict[str, Tensor]) -> Float[Tensor, " F"]:
    """The sum over rows of a * dP(share * a) / da, where a enters the map at `path` at the place before the token."""
    seen: list[Tensor] = []

    def scaled(_module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        states = args[0].detach().flatten(0, 1)
        at = _places(batch, args[0])
        a = states[at]
        seen[:] = [a, (shares.to(a)[:, None] * a).requires_grad_()]
        return (states.index_copy(0, at, seen[1]).view_as(args[0]),)

    handle = lm.model.get_submodule(path).register_forward_pre_hook(scaled)
    try:
        with torch.enable_grad():
            logits = lm.logits(batch, still)
            chosen = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)
            p = chosen.gather(1, batch.targets[:, None]).sum()
            (slope,) = torch.autograd.grad(p, seen[1])
    finally:
        handle.remove()
    a = seen[0].to(torch.promote_types(slope.dtype, torch.float32))
    return (a * slope).sum(0)


def _places(batch: Batch, states: Tensor) -> Int[Tensor, " K"]:
    """Where the places before the tokens stand in padded (B, T, F) or packed (1, R, F) states, flattened."""
    padded = states.shape[:2] == batch.ids.shape
    return batch.places[batch.predicting] if padded else batch.predicting
