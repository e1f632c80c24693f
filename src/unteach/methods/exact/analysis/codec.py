"""How much one thing says about another, beyond what others say already, from nearest neighbours among n samples."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist


def dependence(y: Float[np.ndarray, " n"], z: Float[np.ndarray, "n k"]) -> float:
    """T(Y, Z): in the limit 0 where they are independent, 1 where Y is a function of Z.

    T = sum (n min(R_i, R_M(i)) - L_i^2) / sum L_i (n - L_i), where R_i counts y_j <= y_i, L_i counts y_j >= y_i, and
    M(i) is the nearest neighbour of z_i. Azadkia and Chatterjee 2021, arXiv:1910.12327. From few samples it strays.
    """
    ranks, n = _ranks(y), len(y)
    above = _ranks(-y)
    least = float((above * (n - above)).sum())
    return float((n * np.minimum(ranks, ranks[_nearest(z)]) - above**2).sum()) / least if least else 0.0


def conditional(y: Float[np.ndarray, " n"], z: Float[np.ndarray, "n k"], given: Float[np.ndarray, "n m"]) -> float:
    """T(Y, Z | X): the same for what Z adds to X, with N(i) the nearest neighbour of x_i and M(i) that of (x_i, z_i).

    T = sum (min(R_i, R_M(i)) - min(R_i, R_N(i))) / sum (R_i - min(R_i, R_N(i))); without meaning where Y is a function
    of X, as nothing is left to say then.
    """
    ranks = _ranks(y)
    without = np.minimum(ranks, ranks[_nearest(given)])
    with_z = np.minimum(ranks, ranks[_nearest(np.hstack([given, z]))])
    left = float((ranks - without).sum())
    return float((with_z - without).sum()) / left if left else 0.0


def foci(y: Float[np.ndarray, " n"], features: Float[np.ndarray, "n k"], most: int) -> tuple[int, ...]:
    """Features that together say most about y, picked one by one while the next adds something; always one."""
    scaled = (features - features.mean(0)) / np.maximum(features.std(0), 1e-12)
    chosen: list[int] = []
    while len(chosen) < min(most, scaled.shape[1]):
        rest = [k for k in range(scaled.shape[1]) if k not in chosen]
        best = max(rest, key=lambda k: dependence(y, scaled[:, [*chosen, k]]))
        if chosen and conditional(y, scaled[:, [best]], scaled[:, chosen]) <= 0:
            break
        chosen.append(best)
    return tuple(chosen)


def _ranks(y: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    return np.searchsorted(np.sort(y), y, side="right")


def _nearest(x: Float[np.ndarray, "n k"]) -> Int[np.ndarray, " n"]:
    """The nearest other sample of each, the first of equals."""
    apart = cdist(x, x)
    np.fill_diagonal(apart, np.inf)
    return np.asarray(apart.argmin(1))
