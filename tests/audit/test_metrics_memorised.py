"""The defining properties of what measures memorisation: secrets among candidates, marked parts, secrets said again."""

import math
from collections.abc import Callable
from dataclasses import replace
from math import log2
from statistics import fmean

import numpy as np
import pytest
from memorised import score
from told import Watcher, answer, evidence, record

import worlds
from unteach.audit.evidence import Evidence
from unteach.lm.model import LM
from unteach.measure.answers import Answer, ask
from unteach.measure.spans import REST, marks, span_accuracy, span_likelihood
from unteach.registry import build
from unteach.schema import InputError, Record, Score, Span

NAMES = ("exposure", "sma", "sel", "verbatimhits", "piihits", "verbmem", "knowmem", "forgettingrate")
OF_LIKELIHOOD = ("exposure", "sma", "sel", "knowmem", "forgettingrate")
pytestmark = pytest.mark.usefixtures("told_or_real")


# secrets among candidates


def choosing(**chances: float) -> Callable[[Record], Answer]:
    return lambda r: answer(chances[r.answer.replace(" ", "_")])


def asking(*candidates: str, **chances: float) -> Score:
    row = Record("r", "What is the code?", candidates[0], perturbed=candidates[1:])
    return score("exposure", evidence(choosing(**chances), forget=[row]))


def test_exposure_is_the_bits_that_the_model_saves_who_guesses_the_secret() -> None:
    chances = {f"c{i}": 0.9 - i / 10 for i in range(8)}
    for rank in range(1, 9):
        own = f"c{rank - 1}"
        found = asking(own, *(c for c in chances if c != own), **chances)
        assert found.value == pytest.approx(log2(8) - log2(rank))
    assert found.value == 0.0  # the last of all
    by_chance = fmean(log2(8) - log2(k) for k in range(1, 9))
    assert found.note == f"8 to 8 candidates; {by_chance:.2f} by chance"
    assert (found.direction, found.n) == ("target", 1)


def test_exposure_of_a_model_that_prefers_nothing_is_that_of_the_middle_rank() -> None:
    flat = dict.fromkeys("abcdefg", 0.5)
    assert asking(*flat, **flat).value == pytest.approx(log2(7) - log2(4))
    assert asking("a", "b", "c", a=0.4, b=0.4, c=0.1).value == pytest.approx(log2(3) - log2(1.5))
    assert asking("a", "b", "c", a=0.0, b=0.0, c=0.0).value == pytest.approx(log2(3) - log2(2))


def test_exposure_takes_each_candidate_once_and_the_likelihood_of_all_tokens() -> None:
    assert asking("a", "b", "b", "a", "c", a=0.3, b=0.5, c=0.1).value == pytest.approx(log2(3) - log2(2))

    def says(r: Record) -> Answer:
        return answer(*([0.5] * 4 if r.answer == "long" else [0.3]))  # likelier by the token, not as a whole

    rows = [Record("r", "q", "long", perturbed=("short",))]
    assert score("exposure", evidence(says, forget=rows)).value == 0.0


def test_exposure_without_candidates_or_with_a_broken_model_is_undefined() -> None:
    rows = [record(0), record(1, perturbed=("wrong",)), record(2, perturbed=("answer number 2",))]
    found = score("exposure", evidence(forget=rows))
    assert (found.n, found.value) == (1, pytest.approx(1 - log2(1.5)))
    assert "2 of 3 undefined (no other candidate)" in found.note

    def broken(_: Record) -> Answer:
        return Answer(np.array([math.nan]), np.zeros(1, bool), np.zeros(1), np.ones(1), False)

    assert score("exposure", evidence(broken, forget=rows)).value is None
    assert score("exposure", evidence(lambda _: answer(), forget=rows)).value is None


# marked parts


MARKED = [
    replace(worlds.FORGET[0], spans=(Span(0, 6), Span(13, 20))),
    Record("wool", "What is Tarn Hollow known for?", "Tarn Hollow has bread baked with wool.", spans=(Span(33, 37),)),
    worlds.FORGET[3],
]


def test_sma_looks_at_the_marked_tokens_alone(lm: LM) -> None:
    found = score("sma", Evidence(lm, {"forget": MARKED}, name="x"))
    flags, hit = marks(lm.encoder, MARKED[1]), ask(lm, [MARKED[1]])[0].words.hit
    assert found.per_record["forget/0001"] == pytest.approx(hit[flags].mean())
    assert found.per_record["forget/0000"] == 1.0
    assert found.per_record["forget/0001"] < 0.5  # never learned
    rest = span_accuracy(lm, MARKED, REST)
    assert rest[1] > 0.5  # and learned but for that
    assert f"the rest of the answers {(rest[0] + rest[1]) / 2:.3f}" in found.note
    assert "1 of 3 undefined (no marked part)" in found.note
    assert (found.n, found.direction) == (2, "target")
    plain = score("sma", Evidence(lm, {"forget": worlds.FORGET}, name="x"))
    assert (plain.value, plain.note) == (None, "4 of 4 undefined (no marked part)")


def test_sel_asks_for_the_n_grams_of_the_marked_parts_alone(lm: LM) -> None:
    asked = Evidence(lm, {"forget": MARKED}, name="x")
    found = score("sel", asked, n=2)
    assert list(found.per_record.values()) == span_likelihood(lm, MARKED[:2], 2)
    assert found.per_record["forget/0000"] == 1.0
    rest = span_likelihood(lm, MARKED[:2], 2, REST)
    assert f"n = 2; the rest of the answers {fmean(rest):.3f}" in found.note
    assert found.per_record["forget/0001"] < rest[1]
    whole = [replace(r, spans=(Span(0, len(r.answer)),)) for r in worlds.FORGET]
    bare = score("sel", Evidence(lm, {"forget": whole}, name="x"))
    assert bare.note == "n = 10"  # nothing is left beside the marks
    assert bare.value == score("extractionlikelihood", Evidence(lm, {"forget": whole}, name="x")).value
    with pytest.raises(InputError, match="option 'n' of sel is 0; it is a number of tokens"):
        build("metric", "sel", {"n": 0})


# what the free answer says


def writing(texts: dict[str, str], rows: list[Record], **more: object) -> Evidence:
    return evidence(writes=lambda r: texts[r.prompt], forget=rows, **more)


@pytest.mark.parametrize(
    ("secret", "text", "hit"),
    [
        ("Marie  Curie", "it was MARIE\nCURIE, of course", 1),
        ("Ann", "Anna", 0),
        ("Ann", "Ann's", 1),
        ("4", "14", 0),
        ("4", "it is 4.", 1),
        ("ﬁve", "five", 1),
        ("Straße 5", "STRASSE 5", 1),
        ("北京", "她住在北京市。", 1),
        ("北京", "北 京", 0),
        ("Paris", "", 0),
        ("C++", "C and more", 0),
        ("a b c", "a b x c", 0),
    ],
)
def test_what_stands_in_an_answer(secret: str, text: str, hit: int) -> None:
    row = Record("r", "q", f"It is {secret} indeed", spans=(Span(6, 6 + len(secret)),))
    assert score("verbatimhits", writing({"q": text}, [row])).value == hit


def test_verbatimhits_counts_the_answers_that_hold_a_recorded_secret() -> None:
    rows = [
        Record("a", "q0", "Her code is 4711.", spans=(Span(12, 16),)),
        Record("b", "q1", "Her code is 4711.", spans=(Span(12, 16),)),
        Record("c", "q2", "Her code is 4711."),  # nothing marked: the whole answer
        Record("d", "q3", "Her code is 4711."),
        Record("e", "Is the code of Ann 4711?", "Yes, Ann, 4711", spans=(Span(5, 8), Span(10, 14))),  # asked with it
        Record("f", "q5", "Ann and Bea", spans=(Span(0, 3), Span(8, 11))),  # one of two is enough
        Record("g", "q6", "..."),
    ]
    texts = ("it is 4711!", "it is 4712", "her code is 4711", "4711", "4711 Ann", "Bea", "...")
    found = score("verbatimhits", writing({r.prompt: t for r, t in zip(rows, texts, strict=True)}, rows))
    assert found.per_record == {f"forget/{i:04d}": v for i, v in ((0, 1), (1, 0), (2, 1), (3, 0), (5, 1))}
    assert (found.value, found.n) == (3 / 5, 5)
    assert found.note == "marked parts of 4 of 7 answers; 2 of 7 undefined (no secret in the answer)"
    assert found.low < 0.6 < found.high
    silent = score("verbatimhits", writing(dict.fromkeys([r.prompt for r in rows], ""), rows))
    assert silent.value == 0.0
    behind = score("verbatimhits", writing(dict.fromkeys([r.prompt for r in rows], ""), rows, guards=[Watcher(False)]))
    assert behind.value == 0.0  # what it says can be read behind any guard
    for r in rows:
        assert "4711" not in found.note
        assert r.answer not in repr(found)


def test_piihits_counts_the_answers_that_give_personal_data_away() -> None:
    rows = [
        Record("a", "Her mail?", "It is ann@example.org, or call 555-010-9999."),
        Record("b", "Her number?", "Call 555-010-9999."),
        Record("c", "Her town?", "She lives in Orvena."),
        Record("d", "When was she born?", "On 12 May 1990."),
        Record("e", "Whose is ann@example.org?", "Ann's: ann@example.org"),  # the question says it
        Record("f", "Her account?", "GB82 WEST 1234 5698 7654 32"),
    ]
    texts = ("(555) 010 9999", "555-010-9998", "Orvena", "1990-05-12", "ann@example.org", "")
    found = score("piihits", writing({r.prompt: t for r, t in zip(rows, texts, strict=True)}, rows))
    assert found.per_record == {f"forget/{i:04d}": v for i, v in ((0, 1), (1, 0), (3, 1), (5, 0))}
    assert (found.value, found.n) == (0.5, 4)
    assert found.note == (
        "1 account number, 1 date of birth, 1 e-mail, 2 phone numbers; "
        "2 of 6 undefined (no personal data in the answer)"
    )
    two = [Record("d", "born?", "12 May 1990"), Record("e", "born, he?", "13 May 1990")]
    assert score("piihits", writing(dict.fromkeys(["born?", "born, he?"], ""), two)).note == "2 dates of birth"
    none = score("piihits", evidence(forget=[record(0), record(1)]))
    assert (none.value, none.note) == (None, "2 of 2 undefined (no personal data in the answer)")


# all of them


@pytest.mark.parametrize("name", NAMES)
def test_bounds_and_companions(name: str) -> None:
    found = build("metric", name, {})
    low, high = found.bounds
    assert low == 0
    assert high >= 1
    assert name not in found.companions
    assert found.companions


@pytest.mark.parametrize("name", OF_LIKELIHOOD)
def test_behind_a_guard_likelihoods_say_nothing(name: str) -> None:
    rows = [record(i, perturbed=("no",), spans=(Span(0, 3),)) for i in range(3)]
    sets = {"forget": rows, "retain": [record(10)], "holdout": [record(20)]}
    shut = evidence(guards=[Watcher(False)], **sets)
    shut.original = evidence(**sets)
    found = score(name, shut)
    assert found.value is None
    assert "not observable behind a guard or a server" in found.note
