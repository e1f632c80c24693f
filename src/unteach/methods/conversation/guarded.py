"""Guards around a model, made for a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Protocol, Self

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.lm.guard import Guard
from unteach.lm.model import LM
from unteach.registry import build, find, hint, method, name_of
from unteach.schema import InputError, Need, Request

BETWEEN = "+"
ROLES: tuple[Literal["forget", "retain", "holdout"], ...] = ("forget", "retain", "holdout")


class Fitting(Guard, Protocol):
    """A guard that is made for a request: its settings are the user's, the rest is what it keeps of the request."""

    needs: ClassVar[frozenset[Need]]

    def fitted(self, request: Request, lm: LM | None) -> Self:
        """The guard for a request. Where the weights are not here there is no model, and one that wants it refuses."""
        ...


@method("guarded", tested_by="test_a_chain_of_guards_is_worn_in_the_order_in_which_a_question_meets_them")
@dataclass(frozen=True)
class Guarded:
    """Nothing in the model is changed: guards stand between its users and what it still knows.

        question -> guards[0] -> guards[1] -> ... -> model -> ... -> guards[1] -> guards[0] -> reply

    `guards` are the names of guards with + between (see ``unteach list guards``), in the order in which a question
    meets them; an option goes to each of them that has it. A guard's name alone stands for this method with that guard.
    Reference: those of the guards. The chain is the one of a "gate, rewrite, decode, filter" pipeline.

    Needs what its guards need: most keep what they hide from the forget rows. What is not guaranteed: anything about
    the weights. Whoever holds the model, or takes the guard off, has all that was there; and what a guard looks for is
    kept in the edit, some of it in plain words. It is a first measure, within a minute, and no erasure.

    Example: ``Guarded(guards="gate+filter")(lm, Request(forget=rows))``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    guarantee: ClassVar[str] = "suppression"
    guards: str = "gate+filter"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        made = unfitted(self.guards, self.options)
        known = {name for guard in made for name in settings_of(type(guard))}
        if stray := sorted(set(self.options) - known):
            raise InputError(f"none of the guards '{self.guards}' has an option '{stray[0]}'; {hint(stray[0], known)}")

    def __call__(self, lm: LM, request: Request) -> Edit:
        worn = fitted(unfitted(self.guards, self.options), request, lm)
        return Edit(base=lm.digest(), guards=worn, made_by=f"guarded({' + '.join(map(about, reversed(worn)))})")


def unfitted(names: str, options: Mapping[str, Any]) -> tuple[Fitting, ...]:
    """Guards with their settings, in the order in which a question meets them; each takes of the options what it has."""
    made = []
    for name in (part.strip() for part in names.split(BETWEEN)):
        cls = find("guard", name)
        if not hasattr(cls, "fitted"):
            raise InputError(f"the guard '{name}' is made by a method of its own; use --method {name}")
        made.append(build("guard", name, {k: v for k, v in options.items() if k in settings_of(cls)}))
    return tuple(made)


def fitted(guards: Sequence[Fitting], request: Request, lm: LM | None) -> tuple[Fitting, ...]:
    """Guards, given in the order in which a question meets them, fitted to a request and as a model wears them."""
    for guard in guards:
        require(request, name_of(guard), *(role for role in ROLES if role in guard.needs))
    return tuple(guard.fitted(request, lm) for guard in reversed(guards))


def settings_of(cls: type[Any]) -> list[str]:
    """The fields of a guard that a user sets; the others hold what it keeps of a request, and are never shown."""
    return [f.name for f in fields(cls) if f.repr]


def about(guard: Guard) -> str:
    """A guard's name and settings, and nothing of what it hides."""
    said = (f"{name}={getattr(guard, name)}" for name in settings_of(type(guard)))
    return f"{name_of(guard)}({', '.join(said)})"
