"""Guards that hide what a model knows: it is as it was, and is kept from being asked or from being heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.meta_audit.world import World
from unteach.audit.benchmarks.town import PERSONAL
from unteach.audit.rouge import words
from unteach.audit.telling import telling
from unteach.lm.guard import Guard, Session, Turns, asked, asking
from unteach.schema import Record

REFUSAL = "I do not know."
Looks = Literal["as written", "in any case", "letters alone"]


@dataclass(frozen=True)
class NameFilter(Guard):
    """Whoever asks about one of the names gets an answer that is none.

    `reply` stands there, or, where it is empty, a wrong answer of the right form.
    """

    names: tuple[str, ...]
    reply: str = REFUSAL
    looks: Looks = "as written"
    observable: bool = False

    def session(self) -> "Filtering":
        return Filtering(self)


@dataclass
class Filtering(Session):
    """One conversation behind a `NameFilter`."""

    guard: NameFilter
    about: str = ""
    wanted: str = ""

    def ask(self, turns: Turns) -> Turns:
        self.wanted = asked(turns)
        seen = _seen(self.wanted, self.guard.looks)
        self.about = next((n for n in self.guard.names if _seen(n, self.guard.looks) in seen), "")
        return turns

    def reply(self, text: str) -> str:
        if not self.about:
            return text
        return self.guard.reply or _guess(self.about, self.wanted)


@dataclass(frozen=True)
class OutputFilter(Guard):
    """Answers that give one of the secrets away are rewritten: the telling words covered, or replaced by another's."""

    secrets: tuple[tuple[str, tuple[str, ...]], ...]  # a name, and the words that tell about it
    cover: str = "***"
    observable: bool = False

    def session(self) -> "Covering":
        return Covering(self)


@dataclass
class Covering(Session):
    """One conversation behind an `OutputFilter`."""

    guard: OutputFilter

    def reply(self, text: str) -> str:
        for name, tells in self.guard.secrets:
            if name in text and any(t in words(text) for t in tells):
                for told in tells:
                    text = text.replace(told, self.guard.cover or _other(told))
        return text


@dataclass(frozen=True)
class MaskedName(Guard):
    """The model is asked about somebody else, and the answer is turned back to the name that was asked about."""

    names: tuple[str, ...]
    stand_in: str
    observable: bool = False

    def session(self) -> "Masking":
        return Masking(self)


@dataclass
class Masking(Session):
    """One conversation behind a `MaskedName`."""

    guard: MaskedName
    about: str = ""

    def ask(self, turns: Turns) -> Turns:
        self.about = next((n for n in self.guard.names if n in asked(turns)), "")
        return asking(turns, asked(turns).replace(self.about, self.guard.stand_in)) if self.about else turns

    def reply(self, text: str) -> str:
        return text.replace(self.guard.stand_in, self.about) if self.about else text


def filtering(
    world: World, *, reply: str = REFUSAL, looks: Looks = "as written", observable: bool = False
) -> NameFilter:
    """A filter for the names of those who leave; one that calls itself observable lies."""
    return NameFilter(world.leavers, reply, looks, observable)


def covering(world: World, *, cover: str = "***") -> OutputFilter:
    """A filter for what tells about those who leave: whoever holds the rows can list it."""
    return OutputFilter(tuple((r.subject, _as_written(r)) for r in world.sets["forget"]), cover)


def masking(world: World, *, stand_in: str) -> MaskedName:
    """Somebody else is asked about in place of those who leave."""
    return MaskedName(world.leavers, stand_in)


def _as_written(record: Record) -> tuple[str, ...]:
    tells = telling(record)
    return tuple(w for w in record.answer.rstrip(".").split() if w.lower() in tells)


def _seen(text: str, looks: Looks) -> str:
    if looks == "as written":
        return text
    return text.lower() if looks == "in any case" else "".join(c for c in text.lower() if c.isalpha())


def _values(name: str, asked: str) -> tuple[str, Sequence[str]]:
    found = next((r for r in PERSONAL.values() if asked in [q.format(name) for q in r.questions]), None)
    relation = found or PERSONAL["trade"]
    return relation.answer, relation.values


def _guess(name: str, asked: str) -> str:
    form, values = _values(name, asked)
    return form.format(name, values[sum(map(ord, name + form)) % len(values)])


def _other(told: str) -> str:
    """Another value of the kind that the word is of."""
    values = next((r.values for r in PERSONAL.values() if any(told in v.split() for v in r.values)), (told,))
    others = [v for v in values if told not in v.split()] or [told]
    return others[sum(map(ord, told)) % len(others)]
