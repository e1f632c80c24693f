"""Teachers on disjoint rows, and a student that hears only their noisy votes."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from unteach.edit.plan import draw
from unteach.lm.heads import Classes, Features, Head, Table
from unteach.methods.exact.guarantees import indistinguishable
from unteach.methods.exact.heads.asked import asked
from unteach.methods.exact.heads.ridge import Moments, Ridge
from unteach.methods.exact.private.accountant import concentrated
from unteach.registry import learner
from unteach.schema import Guarantee, GuaranteeKind, InputError

ASSUMPTIONS = (
    "the features come from a model that did not learn from the rows; a row is all that is to be hidden of a person; the "
    "public rows and the number of classes were chosen without the private ones; the noise is known to nobody, and the "
    "teachers and their votes are shown to nobody. The student is the same as before the deletion, and each further "
    "teacher that loses rows weakens the bound."
)


@dataclass(frozen=True, eq=False, repr=False)
class Lesson:
    """Private rows with classes, and public ones, whose classes are not looked at."""

    private: Table
    public: Table


@dataclass(frozen=True, eq=False, repr=False)
class School:
    """The teachers by number, the student, how many answers it heard, and which teachers have lost rows since."""

    teachers: Mapping[int, Moments]
    student: Moments
    answers: int
    lost: frozenset[int] = field(default=frozenset())

    def __repr__(self) -> str:
        return f"School(teachers={len(self.teachers)}, answers={self.answers})"


@learner("pate", tested_by="test_without_noise_the_student_hears_the_majority")
@dataclass(frozen=True)
class PATE:
    """A ridge head on each of `teachers` parts of the private rows; public rows get the class of the noisiest winner.

        class(x) = argmax over classes of (votes for it + N(0, sigma^2))

    and the student, a ridge head too, learns those. Papernot et al. 2018, arXiv:1802.08908 (GNMax). A row moves one
    teacher's vote, which is sqrt(2) in the votes: q answers have a Renyi divergence of at most a q / sigma^2 at order a,
    whatever the votes were. Rows that k teachers lost move k votes: a q k^2 / sigma^2, and with rho = q k^2 / sigma^2,
    epsilon = rho + 2 sqrt(rho ln(1 / delta)), counted over all deletions. A deletion is refused beyond `worst`.

    Which teacher a row goes to is a hash of its id. A deletion takes the rows out of their teachers, exactly, at the
    cost of Ridge, and leaves the student as it is. Of q public rows ask no more than the noise allows: sigma grows
    with sqrt(q) for the same epsilon, and must stay well below the number of teachers for the votes to be heard. With a
    `seed` the noise is as secret as the seed. The bound by how far the votes agree, which is smaller, is not used.

    Example: ``PATE(classes=2, teachers=50).fit(Lesson(private, public))``.
    """

    guarantee: ClassVar[GuaranteeKind] = "certified"
    classes: int = 2
    teachers: int = 50
    sigma: float = 20.0
    delta: float = 1e-5
    worst: float = 20.0
    penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.classes < 2 or self.teachers < 1 or self.sigma < 0:
            raise InputError("pate wants 2 'classes' or more, 'teachers' from 1 on, and 'sigma' not below 0")
        if not (0 < self.delta < 1 and self.worst > 0 and self.penalty > 0):
            raise InputError("pate wants 'delta' between 0 and 1, and 'worst' and 'penalty' above 0")

    def fit(self, data: Lesson, /) -> School:
        """Teach the teachers, let them vote once on each public row, and teach the student."""
        if not data.private.ids or not data.public.ids:
            raise InputError("pate learns from private rows and asks on public ones; give some of both")
        if data.private.y.min() < 0 or data.private.y.max() >= self.classes:
            raise InputError(f"a class is not among the {self.classes}; set 'classes' to how many there are")
        ridge, parts = Ridge(self.penalty), self._parts(data.private.ids)
        teachers = {n: ridge.fit(data.private.only(ids)) for n, ids in parts.items()}
        votes = counted([ridge.release(t) for t in teachers.values()], data.public.x, self.classes)
        heard = self.winners(votes, data.public.ids)
        return School(teachers, ridge.fit(replace(data.public, y=heard)), len(heard))

    def winners(self, votes: Int[np.ndarray, "n k"], ids: Sequence[str]) -> Classes:
        """The class with the most votes after noise, the first of equals."""
        key = secrets.token_hex(16) if self.seed is None else self.seed
        drawn = [np.random.default_rng(draw(key, "pate", i)).standard_normal(self.classes) for i in ids]
        noisy: Float[np.ndarray, "n k"] = votes + self.sigma * np.stack(drawn)
        return np.asarray(noisy.argmax(1), np.int64)

    def delete(self, state: School, ids: Sequence[str], /) -> tuple[School, Guarantee]:
        """Take the rows out of their teachers, and say what the student's answers hid of them."""
        alive = {i for t in state.teachers.values() for i in t.table.ids}
        parts = self._parts(asked(ids, alive))
        lost = state.lost | parts.keys()
        epsilon = self.epsilon(state.answers, len(lost))
        if epsilon > self.worst:
            raise InputError(
                f"rows of {len(lost)} teachers together are hidden within epsilon {epsilon:.3g} only; train anew without "
                "them, or raise 'worst'"
            )
        ridge = Ridge(self.penalty)
        left = {n: ridge.delete(t, parts[n])[0] if n in parts else t for n, t in state.teachers.items()}
        numbers = {
            "epsilon": epsilon, "delta": self.delta, "teachers_touched": float(len(lost)),
            "epsilon_of_one": self.epsilon(state.answers, 1), "sigma": self.sigma, "answers": float(state.answers),
        }  # fmt: skip
        return replace(state, teachers=left, lost=lost), indistinguishable("the student", numbers, ASSUMPTIONS)

    def epsilon(self, answers: int, touched: int) -> float:
        """Of so many answers, where so many teachers may have voted otherwise."""
        if self.sigma == 0:
            return float("inf")
        return concentrated(answers * touched**2 / self.sigma**2, self.delta)

    def release(self, state: School, /) -> Head:
        """The student; teachers are never released."""
        return Ridge(self.penalty).release(state.student)

    def _parts(self, ids: Sequence[str] | frozenset[str]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for i in sorted(ids):
            found.setdefault(draw("teacher", i) % self.teachers, []).append(i)
        return found


def counted(heads: Sequence[Head], x: Features, classes: int) -> Int[np.ndarray, "n k"]:
    """How many of the heads say each class of each row."""
    said = np.stack([head(x) for head in heads])
    return np.stack([(said == c).sum(0) for c in range(classes)], 1)
