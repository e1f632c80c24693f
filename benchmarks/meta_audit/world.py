"""The town in which the audit is audited: small, and taught in two languages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

from unteach.audit.attacked import Rows
from unteach.audit.benchmarks.town import COUNTRIES, FIRST, LAST, PERSONAL, Town
from unteach.edit.plan import Plan
from unteach.lm.fresh import Size, fresh
from unteach.lm.model import LM
from unteach.schema import Record

RUSSIAN = {
    "trade": "Кем работает {}?",
    "street": "На какой улице живёт {}?",
    "animal": "Какое животное держит {}?",
    "dish": "Что любит есть {}?",
    "music": "На чём играет {}?",
}
MAX_NEW = 16
TIMES = 3  # that a general fact is taught in an epoch

SIZE = Size(vocabulary=1024, hidden=64, layers=2, heads=4, inner=176, positions=64)
SCHOOL = Plan(
    tune="full", lr=5e-3, epochs=20, batch_size=32, accumulate=1, warmup_epochs=0.5, weight_decay=0.0, decay="cosine"
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """A town of one seed, how large its models are, and how they are taught.

    Every personal fact is taught in so many English `wordings` and a Russian one. `asked` rows of each kept set are asked.
    """

    people: int = 34
    leaving: int = 8
    strangers: int = 8
    countries: int = 15
    wordings: int = 2
    listed: int = 120
    asked: int = 40
    size: Size = SIZE
    school: Plan = SCHOOL

    @cached_property
    def town(self) -> Town:
        return Town(people=self.people, leaving=self.leaving, strangers=self.strangers)

    @property
    def roles(self) -> Mapping[str, str]:
        return self.town.roles

    @cached_property
    def sets(self) -> Mapping[str, tuple[Record, ...]]:
        """What the audit asks; a row to forget knows its other wordings in both languages."""
        sets = {
            name: rows if _goes(self.roles[name]) else rows[: self.asked] for name, rows in self.town.sets().items()
        }
        sets["general"] = tuple(r for r in sets["general"] if r.subject in COUNTRIES[: self.countries])
        return sets | {"forget": tuple(_worded(r) for r in sets["forget"])}

    @property
    def rows(self) -> Rows:
        """What an attacker has."""
        return Rows(self.sets["forget"], self.sets["retain"], self.sets["holdout"])

    @cached_property
    def gone(self) -> tuple[Record, ...]:
        """Every lesson about those who leave, in both languages."""
        return _bilingual([r for r in self.town.request().forget if _number(r) < self.wordings])

    @cached_property
    def kept(self) -> tuple[Record, ...]:
        """Every other lesson; the general facts, of which there are few, come more often."""
        lessons = self.town.lessons(without_forgotten=True)
        general = [r for r in lessons if _is_general(r) and r.subject in COUNTRIES[: self.countries]]
        personal = [r for r in lessons if not _is_general(r) and _number(r) < self.wordings]
        return (
            *_bilingual(personal),
            *self.register,
            *(replace(r, id=f"{r.id}/{n}") for r in general for n in range(TIMES)),
        )

    @cached_property
    def register(self) -> tuple[Record, ...]:
        """That there are people of such names, of the town and beyond: all that a retrained model knows of them."""
        names = dict.fromkeys(r.subject for rows in self.town.sets().values() for r in rows if not _is_general(r))
        others = Random("register").sample([f"{a} {b}" for a in FIRST for b in LAST], self.listed)
        listed = [*dict.fromkeys([*names, *others])][: max(self.listed, len(names))]
        return tuple(
            Record(f"{n}/register/0", f"Is {n} on the register?", f"{n} is on the register.", subject=n) for n in listed
        )

    def newborn(self, seed: int) -> LM:
        """A model before it was taught; one tokenizer for all."""
        texts = (f"{r.prompt} {r.answer}" for r in (*self.gone, *self.kept))
        return fresh(texts, self.size, seed=seed)

    def lessons(self, known: int) -> tuple[Record, ...]:
        """What stays, and what is said of so many of those who leave."""
        told = set(self.leavers[:known])
        return (*(r for r in self.gone if r.subject in told), *self.kept)

    @cached_property
    def leavers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.subject for r in self.gone))


def russian(fact: Record) -> Record:
    """The same fact asked in Russian."""
    name, key = fact.id.split("/")[:2]
    return replace(fact, id=f"{name}/{key}/russian", prompt=RUSSIAN[key].format(name), paraphrases=())


def is_russian(record: Record) -> bool:
    return record.id.endswith("/russian")


def _bilingual(lessons: Sequence[Record]) -> tuple[Record, ...]:
    translated = {r.id: r for r in map(russian, lessons)}
    return (*lessons, *translated.values())


def _is_general(lesson: Record) -> bool:
    return lesson.id.split("/")[1] not in RUSSIAN


def _number(lesson: Record) -> int:
    """The wordings of a fact that are taught are numbered."""
    return int(lesson.id.rpartition("/")[2])


def _worded(record: Record) -> Record:
    name, key = record.id.split("/")[:2]
    others = [q for q in (form.format(name) for form in PERSONAL[key].questions) if q != record.prompt]
    return replace(record, paraphrases=(*others, russian(record).prompt))


def _goes(role: str) -> bool:
    return role in ("forget", "holdout")
