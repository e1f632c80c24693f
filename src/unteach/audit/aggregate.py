"""TOFU's quantities from losses alone: pure functions, so that logs can be read as models are.

A loss here is the mean negative log-probability of an answer's tokens, in nats. Maini et al. 2024, arXiv:2401.06121.
"""

from collections.abc import Mapping, Sequence
from math import exp, expm1, isinf, log
from typing import Literal

import numpy as np

from unteach.audit.statistics import harmonic

Definition = Literal["geometric", "arithmetic"]
FAR = 690.0  # nats; e to this power is still a finite number


def log_truth_ratio(correct: float, wrong: Sequence[float], definition: Definition = "geometric") -> float | None:
    """ln of (mean probability of the wrong answers / probability of the correct one); None without wrong answers.

    The paper's text takes the arithmetic mean of the probabilities; the authors' evaluation, the later code of
    others and hence the published tables take the geometric mean.
    """
    if not len(wrong) or not np.isfinite(correct):
        return None
    losses = np.asarray(wrong, float)
    middle = losses.mean() if definition == "geometric" else log(len(losses)) - np.logaddexp.reduce(-losses)
    found = float(correct - middle)
    return None if np.isnan(found) else min(FAR, max(-FAR, found))


def indistinct(log_ratio: float) -> float:
    """min(R, 1/R) of a truth ratio R: 1 where true and false cannot be told apart."""
    return exp(-abs(log_ratio))


def truthful(log_ratio: float) -> float:
    """max(0, 1 - R) of a truth ratio R: 1 where the true answer is far likelier than the false ones."""
    return -expm1(min(0.0, log_ratio))


def share_of_choices(correct: float, wrong: Sequence[float]) -> float | None:
    """P(correct) / (P(correct) + sum of P(wrong)), each P per token; None without wrong answers, or for 0 / 0."""
    if not len(wrong) or (isinf(correct) and any(map(isinf, wrong))):
        return None
    return exp(-float(np.logaddexp.reduce([0.0, *(correct - np.asarray(wrong, float))])))


def model_utility(terms: Mapping[str, Mapping[str, float | None]]) -> float | None:
    """Harmonic mean over sets of their terms (probability, ROUGE-L, truth ratio); None where one is undefined."""
    values = [value for of_set in terms.values() for value in of_set.values()]
    known = [value for value in values if value is not None]
    return harmonic(known) if len(known) == len(values) else None
