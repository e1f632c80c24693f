"""States with concepts planted along known axes, and rows whose labels are wordings."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

import worlds
from unteach.methods.concepts.covariance import Covariances
from unteach.schema import Request

OPENINGS = ("In spring,", "At night,", "By law,")
ROWS = tuple(
    replace(r, id=f"{r.id}-{label}", prompt=f"{opening} {r.prompt[:1].lower()}{r.prompt[1:]}", label=label)
    for label, opening in enumerate(OPENINGS)
    for r in worlds.RECORDS[:6]
)
REQUEST = Request(forget=ROWS, retain=worlds.RETAIN)


@dataclass(frozen=True, eq=False)
class Sample:
    """States (n, D) of classes, in float64."""

    states: Tensor
    classes: Tensor

    @property
    def marks(self) -> Tensor:
        return one_hot(self.classes).double()

    def covariances(self, portion: int = 77) -> Covariances:
        seen = Covariances(self.states.shape[1], self.marks.shape[1])
        for at in range(0, len(self.states), portion):
            seen.add(self.states[at : at + portion], self.marks[at : at + portion])
        return seen


def sample(count: int = 600, width: int = 24, classes: int = 3, seed: int = 0) -> Sample:
    """Correlated states whose mean depends on the class."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    own = torch.randint(0, classes, (count,), generator=generator)
    return Sample(drawn(count, width) @ drawn(width, width) + 3 * drawn(classes, width)[own] + 5, own)


def crossed(states: Tensor, marks: Tensor) -> float:
    """The greatest entry of the covariance of states and classes."""
    return float(((states - states.mean(0)).T @ (marks - marks.mean(0)) / (len(states) - 1)).abs().max())


def least_squares(states: Tensor, classes: Tensor) -> float:
    """How often the class with the highest score of a least-squares fit, asked of what it was fitted to, is right.

    Along directions with less than a hundred-thousandth of the greatest spread, which are rounding, nothing is fitted.
    """
    marks = one_hot(classes).double()
    inputs = torch.cat([states.double(), torch.ones(len(states), 1, dtype=torch.float64)], 1)
    scores = inputs @ torch.linalg.lstsq(inputs, marks, rcond=1e-5, driver="gelsd").solution
    return int((scores.argmax(1) == classes).sum()) / len(classes)


def commonest(classes: Tensor) -> float:
    """The share of the commonest class."""
    return int(classes.bincount().max()) / len(classes)
