"""In-context unlearning: examples before the question say of the forgotten what is not so."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np

from unteach.edit.plan import draw
from unteach.lm.guard import Guard, Streaming, Turns, asked, asking
from unteach.lm.model import LM
from unteach.measure.nearness import index
from unteach.registry import guard
from unteach.schema import InputError, Need, Request

KEPT = 512  # rows to keep that correct examples are drawn from


class Point(NamedTuple):
    """A row to classify, and the name of its class."""

    text: str
    label: str


@guard("icul", tested_by="test_icul_flips_the_labels_of_the_forgotten_alone_and_asks_last")
@dataclass(frozen=True)
class ICUL(Guard, Streaming):
    """Before each question stand forgotten rows under a wrong label, and then rows to keep under their own.

        x_f another label
        x_1 y_1
        ...
        x_s y_s
        question

    `flips` forgotten rows come first, those nearest to the question where there are more, and `examples` rows to keep
    after them, s in the formula, drawn by the seed and the question; the question itself is never one of those. A label
    is called what the row answers; of several others, one is drawn for each row.
    Reference: Pawelczyk et al. 2023, arXiv:2310.07579, with one forgotten row and s of 1, 3 or 5. `ablation` takes away
    what it may work by: "correct" leaves the forgotten rows their own label, "random" flips rows to keep in their place,
    and "repeat" shows the forgotten rows again under their own label in place of the other examples.

    Needs forget rows with labels, retain rows, two classes among them, and a model that goes by examples. It is for
    classification: whatever is asked, examples of that stand before it. Log-probabilities can be read behind it where
    rows are put as the model is asked them (`unteach.measure.behind`), as LiRA-Forget must read them.

    What is not guaranteed: the weights know the rows as before, and a question so long that the examples are cut off,
    or whoever takes the guard off, finds them; the rows shown are in the edit in plain words.

    Example: ``ICUL(examples=5).fitted(Request(forget=rows, retain=others), None)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain", "labels"})
    examples: int = 3
    flips: int = 1
    ablation: Literal["flip", "correct", "random", "repeat"] = "flip"
    seed: int = 0
    classes: tuple[str, ...] = field(default=(), repr=False)
    forgotten: tuple[Point, ...] = field(default=(), repr=False)
    kept: tuple[Point, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.examples < 0 or self.flips < 1:
            raise InputError("icul shows examples, not fewer than 0, and flips, at least 1")

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "ICUL":
        return self

    def fitted(self, request: Request, lm: LM | None) -> Self:  # noqa: ARG002 - the rows suffice
        if any(r.label is None for r in request.forget):
            raise InputError("icul changes labels; give each record to forget a 'label', a whole number from 0 on")
        forgotten, others = (
            tuple(Point(r.prompt, r.answer) for r in rows) for rows in (request.forget, request.retain)
        )
        classes = tuple(sorted({p.label for p in (*forgotten, *others)}))
        if len(classes) == 1:
            raise InputError(
                "icul needs rows of two classes at least; give records to keep that are labelled otherwise"
            )
        drawn = sorted(set(others) - set(forgotten), key=lambda p: draw(self.seed, "icul", p.text, p.label))
        return replace(self, classes=classes, forgotten=forgotten, kept=tuple(drawn[:KEPT]))

    def ask(self, turns: Turns) -> Turns:
        if not self.forgotten:
            return turns
        shown = [f"{point.text} {point.label}" for point in self.shown(asked(turns))]
        return asking(turns, "\n".join([*shown, asked(turns)]))

    def shown(self, question: str) -> list[Point]:
        """The examples before a question, under the labels that they are shown with."""
        order = sorted(self.kept, key=lambda p: draw(self.seed, "example", question, p.text))
        others = [p for p in order if p.text != question]
        first, rest = self._nearest(question), others[: self.examples]
        if self.ablation == "random":
            first, rest = others[: self.flips], others[self.flips :][: self.examples]
        elif self.ablation == "repeat":
            rest = [first[n % len(first)] for n in range(self.examples)]
        return [*(first if self.ablation == "correct" else map(self.flipped, first)), *rest]

    def flipped(self, point: Point) -> Point:
        """The same row under another label than its own."""
        others = [name for name in self.classes if name != point.label]
        return point._replace(label=others[draw(self.seed, "flip", point.text) % len(others)])

    def _nearest(self, question: str) -> list[Point]:
        near = index(tuple(p.text for p in self.forgotten)).near(question)
        return [self.forgotten[n] for n in np.argsort(-near, kind="stable")[: self.flips]]
