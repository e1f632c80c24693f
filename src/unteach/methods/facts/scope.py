"""Whether a question is about a remembered fact: a logistic regression over what the two have in common.

What is seen of a question and a fact: the share of the subject's runs of characters that the question holds; and how
much nearer it is, the subject left out, to the fact's wordings than to the questions beside the fact that name its
subject, which is what tells two questions about one subject apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from unteach.measure.nearness import index, named
from unteach.methods.facts.remembered import Remembered
from unteach.methods.facts.spot import ESSENCE

RIDGE = 1e-3
STEPS = 100  # of Newton's method, at most
NOWHERE = -1.0  # nearer to nothing than any text
Seen = NDArray[np.float64]


def fitted(memory: tuple[Remembered, ...], others: Sequence[str], embedder: str = "") -> tuple[float, ...]:
    """The weights of the regression, fitted to the facts' own wordings and to what is not about them.

    A wording counts as a question about its fact, seen without itself. Not about a fact are the questions beside it,
    what its subject is, the wordings of the other fact that looks most alike, and, of the nearest fact, `others`.
    """
    inside, outside = [], []
    for number, fact in enumerate(memory):
        for text in fact.asked:
            seen = sights(memory, text, embedder, own=number)
            inside.append(seen[number])
            outside += [row for row in [_most_alike(np.delete(seen, number, 0))] if row is not None]
        for text in (*(asked for asked, _ in fact.beside), ESSENCE.format(fact.subject)):
            outside.append(sights(memory, text, embedder, own=number)[number])
    own = {text for fact in memory for text in fact.asked}
    for text in (text for text in others if text not in own):
        outside += [row for row in [_most_alike(sights(memory, text, embedder))] if row is not None]
    return _regression(np.array(inside), np.array(outside))


def likely(seen: Seen, weights: Sequence[float]) -> NDArray[np.float64]:
    """The probability that a question is about each fact."""
    return np.asarray(1 / (1 + np.exp(-(seen @ np.array(weights)).clip(-60, 60))))


def sights(memory: tuple[Remembered, ...], text: str, embedder: str = "", *, own: int | None = None) -> Seen:
    """What is seen of a question beside each fact (E, 3), the last a constant.

    Where it is one of the texts that the fact `own` keeps, it is seen without itself.
    """
    shelf = _shelf(memory)
    found = []
    for texts, owners in ((shelf.wordings, shelf.owners), (shelf.beside, shelf.others)):
        near = index(texts, embedder).near(text) if texts else np.zeros(0)
        for n, fact in enumerate(memory):
            if (cut := without_subject(fact.subject, text)) != text:
                near[owners == n] = index(texts, embedder).near(cut)[owners == n]
                itself = (owners == n) & (np.array(texts) == cut)
                if n == own and itself.sum() < (owners == n).sum():
                    near[itself] = NOWHERE
        found.append(_most(near, owners, len(memory)))
    names = np.array([named(fact.subject, text) for fact in memory])
    return np.stack([names, found[0] - found[1], np.ones(len(memory))], axis=1)


@dataclass(frozen=True, eq=False)
class _Shelf:
    """The wordings of a memory and what is beside them, both without the subject, and whose they are."""

    wordings: tuple[str, ...]
    owners: NDArray[np.int_]
    beside: tuple[str, ...]
    others: NDArray[np.int_]


@lru_cache(maxsize=4)
def _shelf(memory: tuple[Remembered, ...]) -> _Shelf:
    wordings = [(n, without_subject(f.subject, asked)) for n, f in enumerate(memory) for asked in f.asked]
    beside = [
        (n, cut) for n, f in enumerate(memory) for asked, _ in f.beside
        if (cut := without_subject(f.subject, asked)) != asked
    ]  # fmt: skip
    return _Shelf(
        tuple(text for _, text in wordings), np.array([n for n, _ in wordings], dtype=int),
        tuple(text for _, text in beside), np.array([n for n, _ in beside], dtype=int),
    )  # fmt: skip


def _most(near: Seen, owners: NDArray[np.int_], count: int) -> Seen:
    """The greatest nearness among each fact's texts; 0 where it has none."""
    found = np.full(count, NOWHERE)
    np.maximum.at(found, owners, near)
    return found.clip(0)


def _most_alike(seen: Seen) -> Seen | None:
    return seen[seen[:, 0].argmax()] if len(seen) else None


def without_subject(subject: str, text: str) -> str:
    at = text.casefold().find(subject.casefold()) if subject else -1
    return text if at < 0 else f"{text[:at]} {text[at + len(subject) :]}"


def _regression(inside: Seen, outside: Seen) -> tuple[float, ...]:
    """What is seen speaks for a question, never against it: weights below 0 are left out, and the others fitted anew."""
    rows, left = np.concatenate([inside, outside]), np.ones(inside.shape[1])
    while True:
        weights = _newton(rows * left, len(inside), len(outside))
        wrong = weights[:-1] < 0
        if not wrong.any():
            return tuple(round(float(w), 9) for w in weights)
        left[:-1][wrong] = 0


def _newton(rows: Seen, inside: int, outside: int) -> Seen:
    """Newton's method with a small ridge; both classes weigh the same."""
    wanted = np.repeat([1.0, 0.0], [inside, outside])
    share = np.repeat([0.5 / inside, 0.5 / outside], [inside, outside])
    weights = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        p = likely(rows, tuple(weights))
        slope = rows.T @ (share * (p - wanted)) + RIDGE * weights
        bend = (rows * (share * p * (1 - p))[:, None]).T @ rows + RIDGE * np.eye(len(weights))
        step = np.linalg.solve(bend, slope)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return weights
