"""What a linear map must add so that keys give new values: one factor (E, D) of a change of rank E for each method.

The change of W is left @ right with the residuals (R, E) on the left; what stands on the right is found here, from the
keys K (E, D), a row a fact. Nothing of the size of W is solved: by the identity of Woodbury only E x E is left.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Keys = Float[Tensor, "E D"]


def spread_evenly(keys: Keys, factor: Float[Tensor, "D D"], weight: float) -> Keys:
    """K' -> right with right' = (weight C + K'K)^-1 K', in float64; `factor` is the Cholesky factor of C.

    MEMIT, Meng et al. 2023, arXiv:2210.07229, equation 14: old keys keep their values in the mean over text.
    """
    k = keys.double()
    x = torch.cholesky_solve(k.T, factor) / weight
    right: Tensor = torch.linalg.solve(_one(k) + k @ x, x.T)
    return right


def spread_exactly(keys: Keys, factor: Float[Tensor, "D D"], ridge: float) -> Keys:
    """right = (K C^-1 K' + ridge)^-1 K C^-1: the new values are met, and old ones change least.

    EMMET, Gupta et al. 2024, arXiv:2403.14236; with one key and no ridge it is ROME.
    """
    k = keys.double()
    x = torch.cholesky_solve(k.T, factor)
    right: Tensor = torch.linalg.solve(k @ x + ridge * _one(k), x.T)
    return right


def spread_aside(keys: Keys, kept: Float[Tensor, "A D"], null: Float[Tensor, "D D"], ridge: float) -> Keys:
    """right' = (P (K'K + A'A) + ridge)^-1 P K', with P the projector on what text hardly uses and A the keys `kept`.

    AlphaEdit, Fang et al. 2024, arXiv:2410.02355.
    """
    p, k, q = null.double(), keys.double(), torch.cat([keys, kept]).double()
    pq, pk = p @ q.T, p @ k.T
    inner = torch.linalg.solve(ridge * _one(q) + q @ pq, q @ pk)
    right: Tensor = (pk - pq @ inner).T / ridge
    return right


def _one(keys: Tensor) -> Tensor:
    return torch.eye(len(keys), dtype=torch.float64, device=keys.device)
