"""Duplicates go, whole and in part, and nothing that is said only once goes with them."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unteach.data.corpus import said
from unteach.data.dedup import Dedup
from unteach.data.fold import grams
from unteach.data.runs import repeated
from unteach.schema import InputError, Record, Span

TEXTS = st.lists(st.text("ab ", max_size=24), max_size=6)


def rows(*answers: str) -> list[Record]:
    return [Record(f"r{i}", f"q{i}", answer) for i, answer in enumerate(answers)]


def prose(seed: int, words: int) -> str:
    dice = Random(seed)
    return " ".join(f"w{dice.randrange(10**6)}" for _ in range(words))


def runs(records: list[Record] | tuple[Record, ...], length: int) -> Counter[tuple[str, ...]]:
    words = [record.answer.split() for record in records]
    return Counter(tuple(w[i : i + length]) for w in words for i in range(len(w) - length + 1))


def similarity(a: Record, b: Record) -> float:
    x, y = grams(said(a)), grams(said(b))
    return len(x & y) / len(x | y)


def test_no_near_pair_and_no_repeated_run_survives() -> None:
    shared, dice = prose(0, 120), Random(1)
    given = []
    for i in range(60):
        own, at = prose(100 + i, 90), dice.randrange(71)
        words = own.split()
        given.append(" ".join((*words[:40], *shared.split()[at : at + 50], *words[40:])) if i % 3 == 0 else own)
        if i % 5 == 0:
            given.append(given[-1].replace(words[80], "changed"))
    made = Dedup()(rows(*given))
    assert max(runs(rows(*given), 50).values()) > 1
    assert max(runs(made.records, 50).values()) == 1
    pairs = [(a, b) for i, a in enumerate(made.records) for b in made.records[:i]]
    assert not [1 for a, b in pairs if similarity(a, b) >= 0.8]
    assert made.counts["near"] == 12
    assert made.counts["substring"] > 0
    again = Dedup()(made.records)
    assert (again.records, again.marks) == (made.records, ())


@given(TEXTS, st.integers(1, 4), st.sampled_from([0, 0.5, 0.8]))
@settings(max_examples=300, deadline=None)
def test_what_is_left_is_a_fixed_point(texts: list[str], length: int, near: float) -> None:
    given = rows(*(text for text in texts if text.strip()))
    made = Dedup(near=near, length=length)(given)
    assert all(count == 1 for count in runs(made.records, length).values())
    assert Dedup(near=near, length=length)(made.records).records == made.records
    assert [given[i].id for i in made.kept] == [record.id for record in made.records]


def plainly(records: list[Record], near: float, length: int) -> list[tuple[str, str]]:
    """Each step over all rows anew, all pairs compared, until nothing more is cut: the ids and answers that stay."""
    kept = records
    while True:
        staying: list[Record] = []
        for i, row in enumerate(kept):
            again = any(said(row) == said(earlier) for earlier in kept[:i])
            if not again and all(similarity(row, earlier) < near - 1e-9 for earlier in staying):
                staying.append(row)
        found: dict[int, set[int]] = {}
        for text, (start, end), _ in repeated([r.answer for r in staying], length):
            end += len(staying[text].answer[end:]) - len(staying[text].answer[end:].lstrip())
            found.setdefault(text, set()).update(range(start, end))
        if not found:
            return [(r.id, r.answer) for r in staying]
        left = [
            "".join(c for at, c in enumerate(r.answer) if at not in found.get(i, ())) for i, r in enumerate(staying)
        ]
        kept = [
            replace(r, answer=answer)
            for i, (r, answer) in enumerate(zip(staying, left, strict=True))
            if i not in found or answer.strip()
        ]


@given(st.lists(st.text("ab c", max_size=40), max_size=8), st.integers(1, 5), st.sampled_from([0.2, 0.5, 0.8, 1.0]))
@settings(max_examples=200, deadline=None)
def test_what_stays_is_what_comparing_all_with_all_at_every_step_leaves(
    texts: list[str], length: int, near: float
) -> None:
    given = [Record(f"r{i}", "q" * (i % 2), text) for i, text in enumerate(texts) if text.strip()]
    made = Dedup(near=near, length=length)(given)
    assert [(record.id, record.answer) for record in made.records] == plainly(given, near, length)


@given(TEXTS, st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_runs_are_those_that_comparing_all_with_all_finds(texts: list[str], length: int) -> None:
    wanted, seen = set(), set()
    for text, whole in enumerate(texts):
        words = whole.split()
        for at in range(len(words) - length + 1):
            run = tuple(words[at : at + length])
            wanted |= {(text, i) for i in range(at, at + length)} if run in seen else set()
            seen.add(run)
    found = set()
    for text, (start, end), _ in repeated(texts, length):
        first = len(texts[text][:start].split())
        found |= {(text, i) for i in range(first, first + len(texts[text][start:end].split()))}
    assert found == wanted


def test_runs_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unteach.data.runs._PRIME", 3)
    texts = [prose(i % 4, 12) for i in range(8)]
    assert [(text, of) for text, _, of in repeated(texts, 5)] == [(4, 0), (5, 1), (6, 2), (7, 3)]


def test_the_first_stays_and_places_are_those_of_the_text_given() -> None:
    run = " ".join(f"x{i}" for i in range(5))
    given = rows(f"one {run} two", f"three {run} four {run} five", "six")
    made = Dedup(near=0, length=5)(given)
    assert [record.answer for record in made.records] == ["one x0 x1 x2 x3 x4 two", "three four five", "six"]
    assert {given[1].answer[m.start : m.end] for m in made.marks} == {run}
    assert [(m.row, m.kind, m.of) for m in made.marks] == [(1, "substring", "r0")] * 2


def test_spans_move_with_what_is_cut_and_go_with_it() -> None:
    given = [Record("a", "", "x y z"), Record("b", "", "s x y z t", spans=(Span(2, 7), Span(8, 9)))]
    made = Dedup(near=0, length=3)(given)
    (span,) = made.records[1].spans
    assert made.records[1].answer == "s t"
    assert made.records[1].answer[span.start : span.end] == "t"


def test_a_row_that_says_the_same_but_for_case_and_spacing_is_dropped() -> None:
    made = Dedup()([Record("a", "Who?", "Ada  Birch."), Record("b", "who", "ada birch"), Record("c", "Who?", "Brin.")])
    assert made.kept == (0, 2)
    assert [(m.row, m.kind, m.of) for m in made.marks] == [(1, "exact", "a")]


def test_a_row_of_nothing_else_is_dropped_and_prompts_are_not_cut() -> None:
    run = prose(0, 50)
    given = [Record("a", f"{run} a", f"{run} more of it here"), Record("b", f"{run} b", run)]
    made = Dedup(near=0)(given)
    assert made.kept == (0,)
    assert made.records == (given[0],)


@pytest.mark.parametrize("wrong", [{"near": 1.1}, {"near": -0.1}, {"length": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Dedup(**wrong)
