"""Overlap, repeats and contradictions are found where they are, against a slow oracle for near-duplicates."""

import random

import pytest

from unteach.data import Finding, Rows, check, read, refuse
from unteach.data.fold import fold, grams
from unteach.data.near import first_near, index
from unteach.schema import InputError, Record

LONG = "the customer asked on Monday about an invoice that was sent to the wrong address in the old town"


def rows(*pairs: tuple[str, str], source: str) -> Rows:
    found = read([{"question": q, "answer": a} for q, a in pairs])
    return Rows(found.records, source, tuple(n + 10 for n in found.lines), found.columns)


def kinds(findings: tuple[Finding, ...]) -> dict[str, tuple[int, ...]]:
    return {finding.kind: finding.lines for finding in findings}


FORGET = rows(("Who?", "Ann"), ("Where?", "In Rome."), ("Told?", LONG), ("When?", "Never"), source="f.jsonl")
OTHER = rows(
    ("Which?", "x"),
    ("who", "ANN"),
    ("Where?", "In Rome."),
    ("Told?", LONG.replace("Monday", "Friday")),
    ("told", LONG + " centre"),
    source="r.jsonl",
)


def test_overlap_with_retain() -> None:
    found = check(FORGET, retain=OTHER)
    assert kinds(found) == {"retain-exact": (12,), "retain-normalised": (11,), "retain-near": (13,)}
    assert [f.fatal for f in found] == [True, True, False]
    assert "line 12 of f.jsonl and line 13 of r.jsonl" in found[0].message
    assert "line 13 of f.jsonl and, in this order, line 15 of r.jsonl" in found[2].message
    for finding in found:
        assert not any(word in finding.message for word in ("Ann", "Rome", "invoice", "Who"))
    with pytest.raises(InputError, match=r"both forgotten and kept; remove them from one of the two sets"):
        refuse(found)


def test_overlap_with_holdout_is_reported_and_not_fatal() -> None:
    found = check(FORGET, holdout=OTHER)
    assert set(kinds(found)) == {"holdout-exact", "holdout-normalised", "holdout-near"}
    refuse(found)


def test_near_is_a_threshold() -> None:
    ours, theirs = grams(fold(f"Told {LONG}")), grams(fold(f"Told {LONG.replace('Monday', 'Friday')}"))
    similar = len(ours & theirs) / len(ours | theirs)
    assert 0.6 < similar < 0.8
    only = rows(("Told?", LONG.replace("Monday", "Friday")), source="r.jsonl")
    assert "retain-near" in kinds(check(FORGET, retain=only, near=similar))
    assert check(FORGET, retain=only, near=similar + 0.001) == ()
    shared = " ".join(f"w{i}" for i in range(16))  # 14 grams of 25; in floating point 0.56 * 25 > 14
    ours, theirs = shared + " a b c d e", shared + " f g h i j k"
    assert list(first_near(index([ours], 0.56), [theirs])) == [(0, 0)]
    for near in (0, -1, 1.1, float("nan")):
        with pytest.raises(InputError, match="similarity"):
            check(FORGET, near=near)


def test_repeats_and_contradictions_within_the_forget_set() -> None:
    forget = rows(("Q", "A"), ("Q", "A"), ("q?", "a."), ("Q", "B"), ("R", "B"), source="f.jsonl")
    found = check(forget)
    assert kinds(found) == {"duplicate-exact": (12,), "duplicate-normalised": (13,), "conflict": (11, 12, 13, 14)}
    assert not any(f.fatal for f in found)
    texts = Rows((Record("a", "", "one text"), Record("b", "", "another")), "t.jsonl", (1, 2), {})
    assert check(texts) == ()


def test_a_conversation_and_plain_text_compare_equal() -> None:
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ann"}]
    assert kinds(check(FORGET, retain=read([{"messages": turns}]))) == {"retain-exact": (11,)}


def test_only_the_first_ten_lines_are_named() -> None:
    many = rows(*((f"Question {i}", f"A{i}") for i in range(25)), source="f.jsonl")
    (found,) = check(many, retain=many)
    assert "lines 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 and 15 more of f.jsonl" in found.message
    assert len(found.lines) == 25


def test_folding() -> None:
    assert fold("  The CAFE\u0301,\u00a0t\u200bhe STRASSE!\n") == fold("the caf\u00e9 the stra\u00dfe")
    assert fold("C#") != fold("C++")
    assert fold("?!") != fold("...")
    assert fold("１２") == "12"
    assert grams("東京は日本の首都") == grams("東京は 日本の 首都")
    assert len(grams("東京は日本の首都")) == 6
    assert len(grams("one two three four")) == 2
    assert grams("one two") == {("one", "two")}


def test_near_duplicates_are_exactly_those_of_the_definition() -> None:
    """Against every pair compared by hand, on small sets where sharing is common and ties are frequent."""
    chance = random.Random(7391)

    def text(letters: str) -> str:
        return " ".join(chance.choice(letters) for _ in range(chance.randint(1, 14)))

    pairs = 0
    for _ in range(300):
        near = chance.choice([0.3, 0.5, 0.75, 0.8, 0.9, 1.0])
        letters = chance.choice(["abc", "abcdef", "abcdefghijklmnopqrst"])
        ours, theirs = [text(letters) for _ in range(8)], [text(letters) for _ in range(8)]
        ours += [" ".join(["z", *other.split()[1:]]) for other in theirs[:4]]
        expected = []
        for i, x in enumerate(map(grams, ours)):
            close = [j for j, y in enumerate(map(grams, theirs)) if len(x & y) >= near * len(x | y) - 1e-9]
            expected += [(i, close[0])] if close else []
        assert sorted(first_near(index(ours, near), theirs)) == expected
        pairs += len(expected)
    assert pairs > 500


def test_rows_of_one_template_are_never_compared() -> None:
    """Rows that share two thirds of their words are looked up by the words that only few of them have."""
    chance = random.Random(7391)
    numbers = [chance.randrange(10**9) for _ in range(500)]
    texts = [fold(f"Who is {n}? {LONG} {n} {LONG} {n + 1}, and so it is.") for n in numbers]
    shared = [len(grams(texts[0]) & grams(other)) / len(grams(texts[0]) | grams(other)) for other in texts[1:]]
    assert min(shared) > 0.4
    assert max(map(len, index(texts, 0.8).holders.values())) == 1
