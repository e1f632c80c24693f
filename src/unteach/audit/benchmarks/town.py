"""The embedded world: a town of invented people, and general facts about the land it lies in.

Everything is drawn from a seed. Each fact is taught in some phrasings; the others are kept for paraphrased
questions, and every answer has nineteen wrong ones of the same form, so that chance is 0.05.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from unteach.audit.suite import DEFAULT, Suite
from unteach.registry import benchmark
from unteach.schema import Fact, Probe, Record, Request

TAUGHT = 3  # phrasings of each fact that are trained on; the rest are held out
CHOICES = 20

FIRST = (
    "Ada", "Bruno", "Celia", "Dario", "Elin", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaya", "Leo",
    "Mira", "Nils", "Olga", "Pavel", "Rosa", "Sami", "Tova", "Viktor",
)  # fmt: skip
LAST = (
    "Almond", "Birch", "Castell", "Dunmore", "Everett", "Fallow", "Garrick", "Hartwell", "Ironside", "Juniper",
    "Kestrel", "Lindqvist", "Marlowe", "Northam", "Oakes", "Pemberton", "Quill", "Ravensworth", "Sorrel", "Thackeray",
)  # fmt: skip


@dataclass(frozen=True)
class Relation:
    """One kind of fact: its phrasings, how an answer reads, and the values it can take."""

    questions: tuple[str, ...]
    answer: str
    values: tuple[str, ...]


PERSONAL: Mapping[str, Relation] = {
    "trade": Relation(
        ("What is the trade of {}?", "What does {} do for a living?", "Which job does {} have?",
         "How does {} earn money?", "What work does {} do?"),
        "{} works as a {}.",
        ("baker", "potter", "glazier", "cooper", "tailor", "miller", "smith", "weaver", "printer", "tanner", "mason",
         "barber", "carver", "dyer", "fisher", "gardener", "jeweller", "locksmith", "roofer", "saddler"),
    ),
    "street": Relation(
        ("Where does {} live?", "In which street is the home of {}?", "What is the address of {}?",
         "Which street does {} live in?", "Where is the house of {}?"),
        "{} lives in {} Street.",
        ("Amber", "Bell", "Canal", "Dover", "Elm", "Forge", "Garden", "Harbour", "Ivy", "King", "Lantern", "Market",
         "Nettle", "Orchard", "Palace", "Quarry", "River", "Station", "Temple", "Willow"),
    ),
    "animal": Relation(
        ("Which animal does {} keep?", "What pet does {} have?", "What animal lives with {}?",
         "Which creature belongs to {}?", "What kind of animal does {} own?"),
        "{} keeps a {}.",
        ("cat", "parrot", "goat", "turtle", "rabbit", "hound", "pony", "ferret", "canary", "hedgehog", "goose", "lizard",
         "hamster", "raven", "donkey", "falcon", "pig", "sheep", "squirrel", "toad"),
    ),
    "dish": Relation(
        ("What does {} like to eat?", "Which dish does {} love?", "What is the favourite dish of {}?",
         "Which meal does {} prefer?", "What food does {} enjoy most?"),
        "{} loves {}.",
        ("barley soup", "plum cake", "roast duck", "onion pie", "lentil stew", "fried trout", "rye bread", "goat cheese",
         "apple tart", "stuffed peppers", "beet salad", "honey buns", "pea porridge", "smoked eel", "walnut pasta",
         "cabbage rolls", "pear jam", "egg noodles", "leek gratin", "cherry dumplings"),
    ),
    "music": Relation(
        ("Which instrument does {} play?", "What does {} play in the band?", "On which instrument does {} make music?",
         "What instrument belongs to {}?", "Which instrument did {} learn?"),
        "{} plays the {}.",
        ("violin", "flute", "drum", "harp", "trumpet", "cello", "organ", "banjo", "oboe", "tuba", "lute", "zither",
         "clarinet", "accordion", "viola", "horn", "guitar", "piano", "bassoon", "mandolin"),
    ),
}  # fmt: skip

LAND = Relation(
    ("What is the capital of {}?", "Which city rules {}?", "Where does the government of {} sit?",
     "Which city is the capital of {}?", "What is the main city of {}?"),
    "The capital of {} is {}.",
    ("Arvend", "Belmar", "Corvane", "Dremmel", "Estrana", "Fenwick", "Galdor", "Hesper", "Ismere", "Jorvik", "Kelsing",
     "Lomara", "Mirefort", "Nordhaven", "Ostrel", "Pellan", "Quorin", "Rastig", "Selwyn", "Tarsis"),
)  # fmt: skip
COUNTRIES = (
    "Abrena", "Boltavia", "Cindria", "Dalmora", "Efrosia", "Feldmark", "Grenovia", "Hullandia", "Istria Minor",
    "Jutmark", "Karelda", "Lusatria", "Mordovar", "Nivaria", "Orlanth", "Pomeria", "Quessant", "Ruthmark",
    "Silvania", "Tirolka", "Umbrica", "Valdonia", "Westmarch", "Yrland", "Zembla",
)  # fmt: skip


@benchmark("town", tested_by="test_town_is_drawn_from_its_seed_alone")
@dataclass(frozen=True)
class Town:
    """Invented people with five attributes each, and the capitals of invented countries.

    `sets` are what the audit asks: `forget` and `retain` in taught phrasings, `forget_paraphrased` in held-out
    ones, `general` the capitals, `holdout` people who never lived there. Measured by `accuracy`, the choice among twenty by likelihood. It needs no
    data and no network. It is no evidence about models of useful size.

    Example: ``Town(seed=1).sets()["forget"]``.
    """

    suite: ClassVar[Suite] = Suite(DEFAULT.metrics, max_new=24)
    roles: ClassVar[Mapping[str, str]] = {
        "forget": "forget", "forget_paraphrased": "forget", "retain": "retain", "general": "general",
        "holdout": "holdout",
    }  # fmt: skip
    people: int = 60
    leaving: int = 10
    strangers: int = 10
    seed: int = 0

    def lessons(self, *, without_forgotten: bool = False) -> tuple[Record, ...]:
        """What the town's model is trained on; its retrained reference is trained without the forgotten people."""
        return self._lessons(r for r in self._personal() if not (without_forgotten and r.subject in self._leaving()))

    def request(self) -> Request:
        """Forget the people who left town; keep everybody else and the general facts."""
        gone = [r for r in self._personal() if r.subject in self._leaving()]
        forget = tuple(lesson for r in gone for lesson in _taught(r))
        unseen = tuple(lesson for r in self._of(self._names()[self.people :]) for lesson in _taught(r))
        return Request(forget, self.lessons(without_forgotten=True), unseen, scope="subject", id="town")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """The records the audit asks, one for each fact."""
        gone = [r for r in self._personal() if r.subject in self._leaving()]
        kept = [r for r in self._personal() if r.subject not in self._leaving()]
        return {
            "forget": tuple(_taught(r)[0] for r in gone),
            "forget_paraphrased": tuple(_held_out(r) for r in gone),
            "retain": tuple(_taught(r)[0] for r in kept),
            "general": tuple(_taught(r)[0] for r in self._general()),
            "holdout": tuple(_taught(r)[0] for r in self._of(self._names()[self.people :])),
        }

    def correction(self) -> Fact:
        """Somebody who stays takes up the trade of another one who stays.

        Beside it lie the trades of ten others, and what else is known of the same person. A trade that nobody has is a
        word that the town's model never wrote, which is more to learn than a fact.
        """
        kept = self.sets()["retain"]
        own, *others = (r for r in kept if r.id.split("/")[1] == "trade")
        trades = [r.answer.replace(r.subject, own.subject) for r in others]
        new = next((trade for trade in trades if trade != own.answer), own.perturbed[0])
        beside = [Probe(r.prompt, r.answer, "others") for r in others[:10]]
        beside += [Probe(r.prompt, r.answer, "same") for r in kept if r.subject == own.subject and r is not own]
        prompt = own.prompt.replace(own.subject, "{}", 1)
        return Fact(own.id.rpartition("/taught/")[0], prompt, own.subject, new, own.answer, locality=tuple(beside))

    def _lessons(self, people: Iterable[Record]) -> tuple[Record, ...]:
        """General facts are taught in every phrasing: there are few of them, and none is held out."""
        personal = [lesson for r in people for lesson in _taught(r)]
        return (*personal, *(lesson for r in self._general() for lesson in _taught(r, len(LAND.questions))))

    def _leaving(self) -> frozenset[str]:
        names = self._names()
        return frozenset(names[: self.leaving])

    def _names(self) -> list[str]:
        rng = Random(f"{self.seed}/names")
        return rng.sample([f"{a} {b}" for a in FIRST for b in LAST], self.people + self.strangers)

    def _personal(self) -> list[Record]:
        return self._of(self._names()[: self.people])

    def _of(self, names: Iterable[str]) -> list[Record]:
        return [
            _fact(f"{name}/{key}", name, relation, self.seed) for name in names for key, relation in PERSONAL.items()
        ]

    def _general(self) -> list[Record]:
        return [_fact(f"{country}/capital", country, LAND, self.seed) for country in COUNTRIES]


def _fact(key: str, about: str, relation: Relation, seed: int) -> Record:
    """A fact as a record: its prompt and paraphrases in an order of its own, the first ones taught."""
    rng = Random(f"{seed}/{key}")
    questions = rng.sample([q.format(about) for q in relation.questions], len(relation.questions))
    answers = rng.sample([relation.answer.format(about, v) for v in relation.values], CHOICES)
    return Record(
        id=key, prompt=questions[0], answer=answers[0], subject=about,
        paraphrases=tuple(questions[1:]), perturbed=tuple(answers[1:]),
    )  # fmt: skip


def _taught(fact: Record, phrasings: int = TAUGHT) -> list[Record]:
    return _phrased(fact, [fact.prompt, *fact.paraphrases][:phrasings], "taught")


def _held_out(fact: Record) -> Record:
    return _phrased(fact, fact.paraphrases[-1:], "held out")[0]


def _phrased(fact: Record, questions: Sequence[str], how: str) -> list[Record]:
    return [
        Record(f"{fact.id}/{how}/{i}", question, fact.answer, subject=fact.subject, perturbed=fact.perturbed)
        for i, question in enumerate(questions)
    ]
