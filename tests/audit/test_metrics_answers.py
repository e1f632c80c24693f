"""The defining properties of what is read from the free answers alone."""

from math import sqrt

import pytest
from told import evidence, record

from unteach.audit.evidence import Evidence
from unteach.registry import build
from unteach.schema import InputError, Record, Score


def score(name: str, on: str, found: Evidence, **options: object) -> Score:
    return build("metric", name, options)(found, on)


def saying(*texts: str, **more: object) -> Evidence:
    rows = [record(i) for i in range(len(texts))]
    said = {r.prompt: text for r, text in zip(rows, texts, strict=True)}

    def writes(r: Record) -> str:
        return said[r.prompt]

    return evidence(writes=writes, forget=rows, retain=rows, **more)


def test_refusalrate_counts_what_declines_in_words_or_says_nothing() -> None:
    found = saying("I'm sorry, but I cannot answer that.", "", " ... \n", "Paris.", "Я не знаю.", "She cannot swim.")
    rate = score("refusalrate", "retain", found)
    assert list(rate.per_record.values()) == [1, 1, 1, 0, 1, 0]
    assert (rate.value, rate.n, rate.direction) == (pytest.approx(4 / 6), 6, "down")
    assert rate.note == "phrases of English, Russian, Chinese, German, French, Spanish; 2 of 6 say nothing"
    z, p, n = 1.959964, 4 / 6, 6
    middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (rate.low, rate.high) == (
        pytest.approx((middle - half) / (1 + z * z / n), abs=1e-6),
        pytest.approx((middle + half) / (1 + z * z / n), abs=1e-6),
    )
    assert score("refusalrate", "forget", found).direction == "target"
    assert score("refusalrate", "retain", saying("Rome.", "I do.")).value == 0.0


@pytest.mark.parametrize(
    ("n", "texts", "shares"),
    [
        (1, ("the cat sat", "The cat ran!", "a cat sat"), (4 / 9, 11 / 18, 11 / 18)),  # the cat sat ran a: 5 of 9
        (2, ("a b c a b", "b c"), (5 / 8, 1 / 2)),  # ab bc ca: 3 of 5
        (3, ("a b c d", "b c d e"), (3 / 4, 3 / 4)),  # abc bcd cde: 3 of 4
    ],
)
def test_distinctn_counts_each_n_gram_of_all_answers_once(n: int, texts: tuple[str, ...], shares: list[float]) -> None:
    found = score("distinctn", "retain", saying(*texts), n=n)
    assert found.value == pytest.approx({1: 5 / 9, 2: 3 / 5, 3: 3 / 4}[n])
    assert list(found.per_record.values()) == pytest.approx(shares)
    assert found.low <= found.value <= found.high
    assert (found.note, found.direction) == (f"n = {n}", "up")


def test_distinctn_of_canned_answers_falls_with_their_number() -> None:
    one = score("distinctn", "retain", saying("I do not know"))
    assert (one.value, one.low, one.high) == (1.0, None, None)
    assert score("distinctn", "retain", saying(*["I do not know"] * 8)).value == pytest.approx(1 / 8)
    assert score("distinctn", "retain", saying("the the the the"), n=1).value == 0.25
    assert score("distinctn", "retain", saying("日本の首都"), n=2).value == 1.0
    short = score("distinctn", "retain", saying("one", "two three", ""))
    assert (short.n, short.note) == (1, "n = 2; 2 of 3 answers are shorter")
    nothing = score("distinctn", "retain", saying("one", ""))
    assert (nothing.value, nothing.note) == (None, "no answer of 2 words or more")
    with pytest.raises(InputError, match="option 'n' of distinctn is 0; it is a number of words, at least 1"):
        build("metric", "distinctn", {"n": 0})
