"""A codebook that grows question by question: which keys there are, how far each reaches, and whose answer it gives."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

SAME = 1e-6  # of a state's norm: nearer than this two questions are one to the model


@dataclass(frozen=True)
class Key:
    """One key: the number of the question whose state it is, how far it reaches, and the number of its answer."""

    question: int
    radius: float
    label: int


def keyed(states: Float[Tensor, "N D"], labels: Sequence[int], share: float) -> list[Key]:
    """The keys of a stream of questions, by the rules below; a new ball reaches over `share` of its state's norm.

    * Out of reach of the nearest key, by more than a new ball's radius, a question becomes a key.
    * In reach of one with the same answer, that key's ball grows until it holds the question.
    * In reach of one with another answer, the question becomes a key, and both balls end half-way between them.

    A question in the same state as a key with another answer cannot be told from it, and gives a key of radius 0.
    """
    found: list[Key] = []
    for number, label in enumerate(labels):
        new = Key(number, share * states[number].norm().item(), label)
        if not found:
            found.append(new)
            continue
        distances = (states[[key.question for key in found]] - states[number]).norm(dim=1)
        apart, at = distances.min().item(), int(distances.argmin())
        nearest = found[at]
        if apart > nearest.radius + new.radius:
            found.append(new)
        elif nearest.label == label:
            found[at] = Key(nearest.question, max(nearest.radius, apart), label)
        else:
            half = apart / 2 if apart > SAME * states[number].norm() else 0.0
            found[at] = Key(nearest.question, min(nearest.radius, half), nearest.label)
            found.append(Key(number, min(new.radius, half), label))
    return found


def numbered(answers: Sequence[str]) -> list[int]:
    """The number of each answer, in the order in which they first come."""
    order = {answer: number for number, answer in enumerate(dict.fromkeys(answers))}
    return [order[answer] for answer in answers]
