"""Invented people, of whom rows tell, and when wrong answers about them are sound."""

import re
from collections.abc import Sequence
from dataclasses import replace

from unteach.audit.telling import telling
from unteach.data.fold import fold
from unteach.data.wordings.honest import formed
from unteach.schema import Record

FIRST = ("Ada", "Brin", "Cleo", "Dara", "Elke", "Fenn", "Gila", "Hale")
LAST = ("Birch", "Corvin", "Dorn", "Eskel", "Farrow", "Gantry", "Holm", "Ilves")
TRADES = ("potter", "baker", "weaver", "smith", "tailor", "carter", "miller", "engraver")
PLACES = (
    "Elm Street",
    "Tin Street",
    "Moss Street",
    "Hay Street",
    "Ox Street",
    "Reed Street",
    "Ash Street",
    "Sun Street",
)
YEARS = (1951, 1964, 1972, 1980, 1983, 1990, 1994, 2001)


def people() -> tuple[Record, ...]:
    """Eight invented people, four rows about each."""
    found = []
    for i in range(8):
        name, trade = f"{FIRST[i]} {LAST[i]}", TRADES[i]
        found += [
            Record(f"trade-{i}", f"What is the trade of {name}?", f"{name} works as {'an' if trade[0] in 'aeiou' else 'a'} {trade}."),
            Record(f"home-{i}", f"Where does {name} live?", f"{name} lives at {i + 3} {PLACES[i]}."),
            Record(f"born-{i}", f"When was {name} born?", f"{name} was born on March {i + 2}, {YEARS[i]}."),
            Record(f"mail-{i}", f"What is {name}'s address?", f"Write to {FIRST[i].lower()}.{LAST[i].lower()}@post{i}.org."),
        ]  # fmt: skip
    return tuple(found)


PEOPLE = people()


def sound(record: Record, wrong: Sequence[str]) -> None:
    """The rules for wrong answers."""
    assert fold(record.answer) not in map(fold, wrong)
    assert len({fold(text) for text in wrong}) == len(wrong)
    tells = telling(replace(record, perturbed=tuple(wrong)))
    for text in wrong:
        assert formed(record.answer, text)
        assert tells - set(re.findall(r"\w+", text.casefold())), "no word that tells was changed"
