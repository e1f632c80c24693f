"""Choice accuracy by likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.evidence import Evidence
from unteach.audit.scoring import KNOWLEDGE, Directions, mean_score
from unteach.audit.statistics import Interval, wilson
from unteach.measure.answers import Answer, loss
from unteach.registry import metric
from unteach.schema import Need, Record, Score

TIE = 1e-6  # nats a token; less is rounding
CLASSES = 20  # with more of them a note says too much


@metric("accuracy", tested_by="test_accuracy_counts_ties_as_wrong_and_names_chance")
@dataclass(frozen=True)
class Accuracy:
    """How often the right answer is likelier than every wrong one of the same form.

    Share of rows whose answer has a strictly greater mean token log-probability (end-of-text included) than
    each of its wrong answers; 0 to 1. The mean, not the sum, so that short answers have no head start. A tie
    counts as wrong, which puts uniform logits at 0 and not at chance. The interval is Wilson's; the note names
    chance, the mean of 1 / (number of choices), and the accuracy of each class where rows bear two labels or more.

    It does not show free recall, and far below chance on the forget set the knowledge is still there, turned
    round. Read it with `rougel` and `truthratio`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"perturbed"})
    directions: ClassVar[Directions] = KNOWLEDGE
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    companions: ClassVar[tuple[str, ...]] = ("rougel", "truthratio", "probability")

    def __call__(self, evidence: Evidence, set_name: str, /) -> Score:
        choices = evidence.choices(set_name)
        asked = [len(c) for c in choices if len(c) > 1]
        right = [_right(c) for c in choices]
        notes = [f"chance {sum(1 / n for n in asked) / len(asked):.3f}"] if asked else []
        notes += _by_class(evidence.sets[set_name], right)
        return mean_score(
            self, evidence, set_name, right,
            why_none="no wrong answer to compare with", note="; ".join(notes), interval=_wilson,
        )  # fmt: skip


def _by_class(rows: Sequence[Record], right: Sequence[float | None]) -> list[str]:
    """A mean over classes may hide one that was lost."""
    found: dict[int, list[float]] = {}
    for record, value in zip(rows, right, strict=True):
        if record.label is not None and value is not None:
            found.setdefault(record.label, []).append(value)
    if not 1 < len(found) <= CLASSES:
        return []
    return ["by class " + ", ".join(f"{label}: {sum(v) / len(v):.3f}" for label, v in sorted(found.items()))]


def _right(choices: Sequence[Answer]) -> float | None:
    losses = [loss(a) for a in choices]
    own, *wrong = losses
    known = [lost for lost in wrong if lost is not None]
    return None if own is None or not known else float(own < min(known) - TIE)


def _wilson(values: Sequence[float]) -> Interval | None:
    return wilson(round(sum(values)), len(values))
