"""What a learner is: it owns its training, takes rows out of it, and releases what may be used."""

from collections.abc import Sequence
from typing import ClassVar, Protocol, TypeVar

from unteach.schema import Guarantee, GuaranteeKind

Data = TypeVar("Data", contravariant=True)
State = TypeVar("State")
Released = TypeVar("Released", covariant=True)


class Learner(Protocol[Data, State, Released]):
    """A frozen dataclass whose fields are its settings.

    `guarantee` is the class of what its deletions may claim at best. `fit` and `delete` return new states and leave
    what they were given alone; a state holds everything that a later deletion needs, rows to keep included.
    """

    guarantee: ClassVar[GuaranteeKind]

    def fit(self, data: Data, /) -> State:
        """Learn from the data."""
        ...

    def delete(self, state: State, ids: Sequence[str], /) -> tuple[State, Guarantee]:
        """Take the rows of these ids out, and say what may be claimed; an id that is not there is refused."""
        ...

    def release(self, state: State, /) -> Released:
        """What may be used: an edit, a head, a predictor."""
        ...
