"""What an attack meets and what it brings back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from unteach.audit.models import Opens
from unteach.audit.telling import told
from unteach.lm.model import LM
from unteach.lm.respondent import Respondent
from unteach.schema import Need, Record

Holds = Literal["questions", "weights", "both models"]  # what is in the attacker's hands


@dataclass(frozen=True, eq=False)
class Target:
    """A model under attack, and the rows it is said to have forgotten.

    `model` is what is asked, and `lm` the same for whoever holds its weights. `before` opens the model as it was, for
    an attacker who holds both. The model is left as it was found: whatever changes it does so within a `with` block.
    """

    model: Respondent
    forget: Sequence[Record]
    retain: Sequence[Record] = ()
    holdout: Sequence[Record] = ()
    before: Opens | None = None
    max_new: int = 64
    seed: int = 0

    @property
    def lm(self) -> LM:
        """The model with its weights, for attacks that declare the need for them."""
        assert self.model.held is not None, "an attack that does more than ask must need weights"
        return self.model.held

    def told(self, records: Sequence[Record] | None = None) -> list[float | None]:
        """How much of each answer the model gives away when it is asked, see `telling`; of the forget rows by default."""
        asked = self.forget if records is None else records
        texts = self.model.generate(asked, self.max_new)
        return [told(record, text) for record, text in zip(asked, texts, strict=True)]


@dataclass(frozen=True)
class Attempt:
    """What came back of each forget row, in their order; None for a row that was spent or has no value.

    `curve` holds (x, mean) points along what the attack's `axis` names; `note` says in a phrase what was spent. An
    attack that cannot be made on this model gives no values and the reason.
    """

    values: Sequence[float | None] = ()
    curve: tuple[tuple[float, float], ...] = ()
    note: str = ""


class Attack(Protocol):
    """A frozen dataclass whose fields are the attacker's budget.

    `holds` says what is in the attacker's hands; `measure` what the values are: "told" is the share of the telling
    words that a free answer contains, as without the attack; anything else is compared between models only.
    """

    holds: ClassVar[Holds]
    needs: ClassVar[frozenset[Need]]
    measure: ClassVar[str]
    axis: ClassVar[str]

    def __call__(self, target: Target, /) -> Attempt: ...


def best(tries: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Of each row the best of several tries."""
    return [max((v for v in of_row if v is not None), default=None) for of_row in zip(*tries, strict=True)]


def curve(tries: Mapping[float, Sequence[float | None]]) -> tuple[tuple[float, float], ...]:
    """The mean of each try that has one, by what it cost."""
    return tuple((x, reached) for x, values in sorted(tries.items()) if (reached := mean(values)) is not None)


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are defined."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
