"""The planted training set is what it says, and what is planted is found in a small one."""

import json
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.planted import HAND, HELD, RESTATED, TUNED, Planted, planted
from benchmarks.trace import figures

from unteach.data.corpus import corpus, said
from unteach.data.fold import grams
from unteach.data.presence import trace

PEOPLE = 13


@pytest.fixture(scope="module")
def world(shared: Path) -> Planted:
    return planted(shared / "data", 6000, people=PEOPLE)


def test_copies_are_copies_and_paraphrases_are_none(world: Planted) -> None:
    known = {person.name: [grams(said(row)) for row in person.rows] for person in world.people}
    same = {person.name: {said(row) for row in person.rows} for person in world.people}
    for row, (name, form) in world.of.items():
        text = said(world.rows[row])
        closest = max(len(grams(text) & own) / len(grams(text) | own) for own in known[name])
        assert (text in same[name]) == (form == "exact")
        assert (closest >= 0.8) == (form in ("exact", "near")), form
    assert len(world.rows) == 6000
    assert {person.name for person in world.people} >= set(HAND)


@pytest.mark.parametrize(("half", "people"), [("tuned", TUNED), ("held", HELD)])
def test_those_written_by_hand_are_forty_of_every_form_in_each_half(half: str, people: tuple[str, ...]) -> None:
    rows = [json.loads(line) for line in RESTATED.read_text(encoding="utf-8").splitlines()]
    mine = [row for row in rows if row["half"] == half]
    forms = Counter(row["named"] for row in mine)
    assert forms.total() >= 40
    assert min(forms["full"], forms["part"], forms["none"]) >= 10
    assert {row["subject"] for row in mine} == set(people)


def test_all_copies_and_nine_in_ten_paraphrases_are_found(world: Planted) -> None:
    found = corpus(world.rows)
    hits = {person.name: trace(found, [person.name], person.rows) for person in world.people}
    theirs = {(row, name): form for row, (name, form) in world.of.items()}
    got = {(hit.row, name): hit.kind for name, some in hits.items() for hit in some}
    assert {form: {got.get(at) for at, f in theirs.items() if f == form} for form in ("exact", "near")} == {
        "exact": {"exact"}, "near": {"near"},
    }  # fmt: skip
    restated = [at for at, form in theirs.items() if form not in ("exact", "near") and at[1] not in HELD]
    recalled = sum(at in got for at in restated)
    assert recalled / len(restated) >= 0.9
    others = sum(at not in theirs for at in got)
    assert recalled / (recalled + others) >= 0.9


def test_the_figures_are_those_of_the_rows(world: Planted) -> None:
    made = {figure.what: figure for figure in figures(world)}
    assert any(what.startswith("exact copies found, known rows") for what in made)
    assert all(f.low - 1e-9 <= f.value <= f.high + 1e-9 <= 1 + 2e-9 for f in made.values() if f.unit == "%")
    assert {what for what in made if what.startswith("rows a second")} == {
        f"rows a second, {what}"
        for what in ("trace, known rows", "trace, name alone", "dedup", "decontaminate", "exclusion")
    }
