"""What noise costs in privacy: Renyi divergences of sampled normal noise, and epsilon and delta from them."""

from collections.abc import Mapping
from math import exp, inf, lgamma, log, log1p, sqrt

import numpy as np
from scipy.special import logsumexp

ORDERS = (*range(2, 65), *range(72, 513, 8))


def sampled_normal(order: int, share: float, sigma: float) -> float:
    """The Renyi divergence of one step that reads each unit with probability `share`, where one more unit is there.

    log(sum over k of C(a, k) (1 - q)^(a - k) q^k exp(k (k - 1) / (2 sigma^2))) / (a - 1), for whole orders a; sigma in
    units of how far one unit moves the sum. Mironov et al. 2019, arXiv:1908.10530.
    """
    if share == 1:
        return order / (2 * sigma**2)
    k = np.arange(order + 1)
    ways = lgamma(order + 1) - np.array([lgamma(i + 1) + lgamma(order - i + 1) for i in k])
    terms = ways + (order - k) * log1p(-share) + k * log(share) + k * (k - 1) / (2 * sigma**2)
    return float(logsumexp(terms)) / (order - 1)


def epsilon_of(divergences: Mapping[int, float], delta: float) -> float:
    """The least epsilon that the divergences allow: D + log((a - 1) / a) - (log delta + log a) / (a - 1).

    Canonne et al. 2020, arXiv:2004.00010.
    """
    found = [d + log1p(-1 / a) - (log(delta) + log(a)) / (a - 1) for a, d in divergences.items()]
    return max(0.0, min(found))


def of_training(share: float, sigma: float, steps: int, delta: float) -> float:
    """The epsilon of a training of so many steps; without noise there is none."""
    if sigma == 0:
        return inf
    return epsilon_of({a: steps * sampled_normal(a, share, sigma) for a in ORDERS}, delta)


def of_group(epsilon: float, delta: float, size: int) -> tuple[float, float]:
    """(k epsilon, k e^((k - 1) epsilon) delta): what is left for k units together. Dwork and Roth 2014."""
    spread = (size - 1) * epsilon
    return size * epsilon, size * exp(min(spread, 700.0)) * delta


def concentrated(rho: float, delta: float) -> float:
    """The epsilon of rho-concentrated privacy: rho + 2 sqrt(rho log(1 / delta)). Bun and Steinke 2016, arXiv:1605.02065."""
    return rho + 2 * sqrt(rho * log(1 / delta))
