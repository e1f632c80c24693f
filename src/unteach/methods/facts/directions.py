"""The directions that text hardly uses, by the second moment of what it puts into a linear map."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg.lapack import dormqr, dstevd, dsytrd
from torch import Tensor

Directions = Callable[[Bool[Tensor, " D"]], Float[Tensor, "D N"]]
BLOCK = 64  # columns that LAPACK takes at once


def unused(moment: Float[Tensor, "D D"], threshold: float) -> Float[Tensor, "D D"]:
    """The projector on the directions in which the second moment is below a threshold, in float64.

    Where they are more than the others, the others are computed and taken away from all.
    """
    values, directions = _eigen(moment.double())
    null = values < threshold
    many = bool(2 * null.sum() > len(null))
    found = directions(~null if many else null)
    projector = found @ found.T
    return torch.eye(len(found)).to(found) - projector if many else projector


def _eigen(moment: Tensor) -> tuple[Float[Tensor, " D"], Directions]:
    """Eigenvalues, and what gives the eigenvectors of some of them; on a processor by the parts of LAPACK's `dsyevd`.

    Those of moment = Q T Q', T tridiagonal with the eigenvectors V, are Q V, and a column not asked for is not computed.
    """
    size = len(moment)
    if moment.device.type != "cpu" or size == 1:
        values, vectors = torch.linalg.eigh(moment)
        return values, lambda chosen: vectors[:, chosen]
    reduced, diagonal, beside, scales, _ = dsytrd(moment.numpy(), lower=1, lwork=BLOCK * size)
    sizes, inner, failed = dstevd(diagonal, beside)
    if failed:
        raise np.linalg.LinAlgError("the eigenvalues of a second moment were not found")

    def directions(chosen: Tensor) -> Tensor:
        found = np.asfortranarray(inner[:, chosen.numpy()])
        if found.shape[1]:
            found[1:] = dormqr("L", "N", reduced[1:, :-1], scales, found[1:], lwork=BLOCK * size)[0]
        return torch.from_numpy(found)

    return torch.from_numpy(sizes), directions
