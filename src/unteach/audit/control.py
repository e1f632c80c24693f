"""Mixing: how forgetting and keeping move while a part of an edit is put on.

Methods are compared where they keep equally much. Wang et al. 2025, "Unlearning with Control",
arXiv:2406.09179: theta(alpha) = (1 - alpha) * original + alpha * edited; alpha* is the greatest alpha that keeps
`tau` of the original's retention. Retention need not fall steadily, so a grid is walked, then refined.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match, extraction_strength, probability
from unteach.schema import Record

GRID = tuple(round(0.1 * i, 2) for i in range(11))
MEASURES = {"probability": probability, "exact": exact_match, "extraction": extraction_strength}


def mix(
    lm: LM, edit: Edit, forget: Sequence[Record], retain: Sequence[Record], *, grid: Sequence[float] = GRID,
    most: int = 64, measure: str = "probability",
) -> tuple[Mapping[str, float], ...]:  # fmt: skip
    """The points (alpha, forget, retain) of the mixing curve, on at most `most` rows of each set.

    Nothing for an edit that cannot be scaled, or where there is nothing to keep.
    """
    if edit.activations or edit.guards or not edit.weights or not retain:
        return ()
    return tuple({"alpha": a, **at(lm, edit, a, forget[:most], retain[:most], measure)} for a in grid)


def at(
    lm: LM, edit: Edit, alpha: float, forget: Sequence[Record], retain: Sequence[Record], measure: str = "probability"
) -> dict[str, float]:
    """Forgetting and keeping with `alpha` of the edit."""
    rate = MEASURES[measure]
    with edit.scaled(alpha).on(lm):
        answers = ask(lm, [*forget, *retain])
    values = np.array([rate(a) for a in answers], dtype=float)
    return {"forget": float(np.nanmean(values[: len(forget)])), "retain": float(np.nanmean(values[len(forget) :]))}


def at_equal_retention(
    lm: LM, edit: Edit, forget: Sequence[Record], retain: Sequence[Record], *, tau: float = 0.95,
    measure: str = "extraction",
) -> dict[str, float]:  # fmt: skip
    """The greatest alpha that keeps `tau` of the original's retention, and what is left of the forget set there.

    The grid has steps of 0.1, refined to 0.01 below the first step that keeps too little. alpha = 0 means: no
    usable part of this edit.
    """
    return equal_of(walk(lm, edit, forget, retain, tau=tau, measure=measure))


def walk(
    lm: LM, edit: Edit, forget: Sequence[Record], retain: Sequence[Record], *, tau: float = 0.95,
    measure: str = "extraction",
) -> list[dict[str, float]]:  # fmt: skip
    """The mixing curve on all of these rows, with the point at equal retention in it, whose `equal` is 1."""
    points = {a: at(lm, edit, a, forget, retain, measure) for a in GRID}
    floor = tau * points[0.0]["retain"]
    held = max(a for a in GRID if points[a]["retain"] >= floor or a == 0.0)
    best, found = held, points[held]
    for step in range(1, 10):
        alpha = round(held + 0.01 * step, 2)
        if alpha > 1:
            break
        beyond = at(lm, edit, alpha, forget, retain, measure)
        if beyond["retain"] < floor:
            break
        best, found = alpha, beyond
    points[best] = {**found, "equal": 1.0}
    return [{"alpha": a, **points[a]} for a in sorted(points)]


def equal_of(curve: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The point of a walk at equal retention: alpha, forget and retain."""
    return next({k: v for k, v in point.items() if k != "equal"} for point in curve if "equal" in point)
