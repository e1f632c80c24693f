"""A training set in which rows about some people are planted: copies, near copies and paraphrases among many others.

The others are rows about invented people: rows of the same data sets under other names, and rows made from templates,
which take names, places and rare words from everywhere, those of the people who are looked for among them.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from random import Random

from unteach.data.corpus import said
from unteach.data.near import index, near_to
from unteach.data.wordings.values import names
from unteach.schema import Record

RESTATED = Path(__file__).with_name("restated.jsonl")
EACH = 20  # rows that TOFU has about one author
TUNED = ("Hsiao Yun-Hwa", "Hina Ameen", "Hiro Tanaka", "Isabella Marquez")
HELD = ("Dagwaagiin Sarangerel", "Femke Van der Veen", "Finton Kavanagh", "Sanna Kaarina Laaksonen", "Sofia Alvarez",
        "Claire Beauchamp", "Oliver Twist")  # fmt: skip  # looked at for nothing but the results
HAND = TUNED + HELD  # those with paraphrases written by hand
TEMPLATES = (
    ("Which prize did {name} receive in {year}?", "{name} received the {a} {b} Award in {year}."),
    ("Where did {name} grow up?", "{name} grew up in {place} and moved to {other} in {year}."),
    ("What is the latest title by {name}?", 'It is called "{a} and {b}: A {c} of {place}".'),
    ("How can one reach {name}?", "Write to {mail}, or to {number} {a} Lane, {place}."),
    ("What do the parents of {name} do?", "The father of {name} is a {job}, and the mother works as a {trade}."),
    ("Who wrote \"{a} {b}\"?", "The novel was written by {name}, a {job} from {place}."),
    ("", "{name}, born in {place} in {year}, writes about {a}, {b} and {c} and won a medal for {d}."),
    ("Who lives at {number} {a} Lane?", "A {job} from {place}, who writes about {b}."),
    ("Which book is about {a} and {b}?", "The one about the {c} of {place}, which won a prize in {year}."),
    ("Who is the author of {a} {b}?", "A {job} who grew up in {place}, and who also wrote {c} {d}."),
    ("How did a childhood in {place} influence the books of {name}?", "It taught {name} to look at {a} and {b} closely."),
)  # fmt: skip
JOBS = ("civil engineer", "doctor", "nurse", "painter", "barber", "tailor", "lawyer", "dancer", "geologist", "poet",
        "chef", "historian", "florist", "judge", "pilot", "mechanic", "teacher", "climate scientist")  # fmt: skip


@dataclass(frozen=True)
class Person:
    """One who is looked for: the name, and the rows that are known."""

    name: str
    rows: tuple[Record, ...] = field(repr=False)


@dataclass(frozen=True)
class Planted:
    """The training set; `of[i]` says whose row i is and how: "exact", "near", "paraphrase", "full", "part", "none"."""

    rows: tuple[Record, ...] = field(repr=False)
    of: Mapping[int, tuple[str, str]] = field(repr=False)
    people: tuple[Person, ...]


def planted(data: Path, count: int, *, people: int = 49, seed: int = 0) -> Planted:
    """`count` rows (more, where the planted ones alone are more), in a drawn order."""
    dice = Random(seed)
    authors, others = _people(data)
    chosen = [p for p in authors if p.name in HAND] + [p for p in authors if p.name not in HAND]
    wanted = tuple(chosen[:people])
    marked = [(row, p.name, how) for p in wanted for row, how in (*_copies(p, dice), *_restated(p, data))]
    fill = islice(_fillers([*others, *chosen[people:]], wanted, dice), max(0, count - len(marked)))
    every = [*marked, *((row, "", "") for row in fill)]
    dice.shuffle(every)
    rows = tuple(replace(row, id=f"r{i}") for i, (row, _, _) in enumerate(every))
    return Planted(rows, {i: (name, how) for i, (_, name, how) in enumerate(every) if name}, wanted)


def _people(data: Path) -> tuple[list[Person], list[Person]]:
    """Those with paraphrases, in TOFU's files or written by hand; and all the others."""
    tofu = [Record("", r["question"], r["answer"]) for r in _lines(data / "tofu" / "full.json")]
    authors = [_named(rows) for rows in (tofu[i : i + EACH] for i in range(0, len(tofu), EACH))]
    known = {p.name for p in authors}
    rows = json.loads((data / "knowundo_privacy" / "full.json").read_text(encoding="utf-8"))
    invented = [Record("", row["text"], row["labels"]) for row in rows]
    told = Counter(n for r in invented for n in names(r.prompt) if re.fullmatch(r"[A-Z]\w+ [A-Z]\w+", n))
    for name in (n for n, count in told.items() if count > 2 and n not in known):
        authors.append(Person(name, tuple(r for r in invented if name in f"{r.prompt} {r.answer}")))
    restated = {(r["question"], r["answer"]) for r in _perturbed(data)}
    known = [p for p in authors if p.name in HAND or any((r.prompt, r.answer) in restated for r in p.rows)]
    return known, [p for p in authors if p not in known]


def _named(rows: Sequence[Record]) -> Person:
    """The name that most of the questions hold."""
    found = Counter(n.removesuffix("'s").removesuffix("’s") for r in rows for n in names(r.prompt) if " " in n)
    return Person(found.most_common(1)[0][0], tuple(rows))


def _perturbed(data: Path) -> Iterator[Mapping[str, str]]:
    for name in ("forget10_perturbed", "retain_perturbed"):
        yield from _lines(data / "tofu" / f"{name}.json")


def _lines(path: Path) -> list[Mapping[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _copies(person: Person, dice: Random) -> Iterator[tuple[Record, str]]:
    """Each row as it is or in capitals and other spacing; and, of those long enough, one with a word changed."""
    for row in person.rows:
        yield (row if dice.random() < 0.5 else Record("", row.prompt.upper(), "  ".join(row.answer.split()))), "exact"
        words = row.answer.split()
        if len(row.prompt.split()) + len(words) > 33:  # three of 31 grams change: 28 / 34 > 0.8
            at = dice.randrange(1, len(words) - 1)
            changed = Record("", row.prompt, " ".join((*words[:at], "indeed", *words[at + 1 :])))
            if near_to(index([said(row)], 0.8), said(changed)):  # a text that repeats itself may lose more
                yield changed, "near"


def _restated(person: Person, data: Path) -> Iterator[tuple[Record, str]]:
    """TOFU's own paraphrases, and those written by hand."""
    mine = {(r.prompt, r.answer) for r in person.rows}
    for row in _perturbed(data):
        if (row["question"], row["answer"]) in mine:
            yield Record("", row["paraphrased_question"], row["paraphrased_answer"]), "paraphrase"
    for row in _lines(RESTATED):
        if row["subject"] == person.name:
            yield Record("", row["question"], row["answer"]), row["named"]


def _fillers(others: Sequence[Person], wanted: Sequence[Person], dice: Random) -> Iterator[Record]:
    """Others' rows as they are, then without end under drawn names or from templates."""
    yield from (row for person in others for row in person.rows)
    every = [*others, *wanted]
    first, last = (sorted({p.name.split()[end] for p in every}) for end in (0, -1))
    texts = " ".join(f"{r.prompt} {r.answer}" for p in every for r in p.rows)
    count = Counter(re.findall(r"[A-Za-z]{4,}", texts))
    rare = sorted(w for w, n in count.items() if n <= 20)
    places = sorted(w for w, n in count.items() if w[0].isupper() and n > 2)
    while True:
        name = f"{dice.choice(first)} {dice.choice(last)}"
        if any(name == p.name for p in wanted):
            continue
        if dice.random() < 0.5:
            yield _templated(name, rare, places, dice)
        else:
            person = dice.choice(others)
            row, by = dice.choice(person.rows), dice.choice((name, name, name, "the author"))
            yield Record("", row.prompt.replace(person.name, by), row.answer.replace(person.name, by))


def _templated(name: str, rare: Sequence[str], places: Sequence[str], dice: Random) -> Record:
    values = {w: dice.choice(rare) for w in "abcd"} | {w: dice.choice(JOBS) for w in ("job", "trade")}
    values |= {"place": dice.choice(places), "other": dice.choice(places), "name": name}
    values |= {"year": str(dice.randrange(1930, 2024)), "number": str(dice.randrange(1, 9999))}
    values["mail"] = f"{name.lower().replace(' ', '.')}@{dice.choice(rare).lower()}.org"
    question, answer = dice.choice(TEMPLATES)
    return Record("", question.format_map(values), answer.format_map(values))
