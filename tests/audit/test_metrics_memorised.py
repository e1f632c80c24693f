"""The defining properties of what measures memorisation: secrets among candidates, marked parts, words said again."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from math import log2
from statistics import fmean

import numpy as np
import pytest
import told
from told import ToldLM, Watcher, answer, evidence, record

import worlds
from unteach.audit.evidence import Evidence
from unteach.audit.metrics import verbmem
from unteach.audit.rouge import rouge_l
from unteach.lm.model import LM
from unteach.measure.answers import Answer, ask
from unteach.measure.spans import REST, marks, span_accuracy, span_likelihood
from unteach.registry import build
from unteach.schema import InputError, Message, Record, Score, Span, record_id

NAMES = ("exposure", "sma", "sel", "verbatimhits", "piihits", "verbmem", "knowmem", "forgettingrate")
OF_LIKELIHOOD = ("exposure", "sma", "sel", "knowmem", "forgettingrate")


@pytest.fixture(autouse=True)
def telling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told models say what they are told, real ones what they say."""

    def either(lm: ToldLM | LM, rows: list[Record], **options: bool) -> list[Answer]:
        return (told.ask if isinstance(lm, ToldLM) else ask)(lm, rows, **options)

    monkeypatch.setattr("unteach.audit.evidence.ask", either)


def score(name: str, found: Evidence, on: str = "forget", **options: object) -> Score:
    return build("metric", name, options)(found, on)


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


# MUSE


def ids(lm: LM, text: str) -> list[int]:
    return lm.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_verbmem_cuts_text_and_answer_to_as_many_tokens(lm: LM) -> None:
    for most in (3, 6, 60):
        found = score("verbmem", Evidence(lm, {"forget": worlds.RECORDS}, name="x"), max_new=most)
        for i, r in enumerate(worlds.RECORDS):
            text = lm.generate([r], most)[0]
            gold = lm.tokenizer.decode(ids(lm, r.answer)[:most])
            assert found.per_record[f"forget/{i:04d}"] == pytest.approx(rouge_l(gold, text).f1)
        assert found.note == f"at most {most} tokens"
    assert found.value == 1.0  # all was learned
    wrong = replace(worlds.FORGET[0], answer=f"{worlds.FORGET[0].answer} And of seven silver owls.")
    long = score("verbmem", Evidence(lm, {"forget": [wrong]}, name="x"), max_new=60)
    said = rouge_l(wrong.answer, worlds.FORGET[0].answer)
    assert long.value == pytest.approx(2 * said.recall / (1 + said.recall))
    assert said.recall < long.value < 1


def test_verbmem_gives_away_the_beginning_of_a_text_without_a_question(lm: LM) -> None:
    plain = Record("t", "", "Seven silver owls keep watch beneath every bridge of the old town by night.")
    tokens = ids(lm, plain.answer)
    for given in (5, 500):
        found = score("verbmem", Evidence(lm, {"forget": [plain]}, name="x"), given=given, max_new=8)
        k = min(given, len(tokens) // 2)
        begin, rest = (lm.tokenizer.decode(part) for part in (tokens[:k], tokens[k : k + 8]))
        assert found.value == pytest.approx(rouge_l(rest, lm.generate([begin], 8)[0]).f1)
    nothing = score("verbmem", Evidence(lm, {"forget": [Record("e", "", "a")]}, name="x"))
    assert (nothing.value, nothing.note) == (
        None,
        "at most 128 tokens; 1 of 1 undefined (no word in the answer, or nothing to go on from)",
    )


def test_verbmem_reads_the_free_answers_where_they_are_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbmem, "_continued", lambda *_: pytest.fail("asked again"))
    lm = ToldLM(lambda _: answer(0.5), lambda r: "answer number" if r.id == "r0" else "")
    sets = {"forget": [record(0), record(1)]}
    found = score("verbmem", Evidence(lm, sets, name="x", max_new=128))
    assert list(found.per_record.values()) == [pytest.approx(0.8), 0.0]  # 2 of 3 words: 2 * 1 * 2/3 / (1 + 2/3)
    lm.guards = [Watcher(False)]
    assert score("verbmem", Evidence(lm, sets, name="x", max_new=128)).value == pytest.approx(0.4)
    hidden = score("verbmem", Evidence(lm, sets, name="x", max_new=200))
    assert (hidden.value, hidden.note) == (None, "at most 128 tokens; not observable behind a guard or a server")
    for option in ("max_new", "given"):
        with pytest.raises(InputError, match=f"option '{option}' of verbmem is 0; it is a number of tokens"):
            build("metric", "verbmem", {option: 0})


class Recorder(ToldLM):
    """A told model with room for so many characters."""

    def __init__(self, writes: Callable[[Record], str], room: int = 10_000) -> None:
        super().__init__(lambda _: answer(0.5), writes)
        self.max_length, self.encoder = room, self

    def prompt(self, text: str, _messages: tuple[Message, ...] = ()) -> list[int]:
        return list(range(len(text)))


def test_knowmem_shows_examples_of_other_subjects_and_cuts_the_answer() -> None:
    lm = Recorder(lambda _: "\nanswer number 0\n\nQuestion: and so on")
    sets = {
        "forget": [record(0, subject="Ann"), record(1, subject="Bea")],
        "retain": [record(10, subject="Ann"), record(11), record(0, subject="Ann")],  # an asked row among them
        "holdout": [record(20, subject="Cid")],
        "general": [record(30)],
    }
    found = score("knowmem", Evidence(lm, sets, name="x"))
    assert list(found.per_record.values()) == [1.0, pytest.approx(2 / 3)]
    assert (found.note, found.direction) == ("shots = 3; at most 32 tokens", "target")
    first, second = (r.prompt for r in lm.prompts[0])
    shown = [f"Question: question {i}\nAnswer: answer number {i}\n\n" for i in (10, 11, 20)]
    assert first.endswith("\n\nQuestion: question 0\nAnswer:")
    assert [text in first for text in shown] == [False, True, True]  # none of the same subject
    assert [text in second for text in shown] == [True, True, True]
    for asked, other in ((first, 1), (second, 0)):
        assert f"question {other}\n" not in asked  # no row that is asked itself
        assert "question 30" not in asked
        assert "answer number 0" not in asked
    one = score("knowmem", Evidence(lm, sets, name="x"), shots=1)
    assert one.note == "shots = 1; at most 32 tokens"
    assert lm.prompts[-1][0].prompt.count("Question:") == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("answer number 0", 1.0),
        ("answer number 0Question: what", 1.0),
        ("answer number\n \nanswer number 0", 0.8),
        ("", 0.0),
        ("Question: answer number 0", 0.0),
    ],
)
def test_where_the_answer_ends(text: str, value: float) -> None:
    sets = {"forget": [record(0)], "retain": [record(1)]}
    assert score("knowmem", Evidence(Recorder(lambda _: text), sets, name="x")).value == pytest.approx(value)


def test_knowmem_takes_as_many_examples_as_there_is_room_for_and_keeps_the_turns_before() -> None:
    talk = replace(record(0), messages=(Message("system", "Be brief."), Message("user", "question 0")))
    sets = {"forget": [talk], "retain": [record(i) for i in range(10, 20)]}
    for room, count in ((10_000, 10), (250, 3), (60, 0)):
        lm = Recorder(lambda r: r.answer, room)
        score("knowmem", Evidence(lm, sets, name="x"))
        (row,) = lm.prompts[0]
        assert row.prompt.count("Answer: answer") == count
        assert row.messages == (Message("system", "Be brief."), Message("user", row.prompt))
    orders = []
    for rows in (sets["retain"], sets["retain"][::-1]):
        lm = Recorder(lambda r: r.answer)
        score("knowmem", Evidence(lm, {"forget": [talk], "retain": rows}, name="x"), shots=4)
        orders.append(lm.prompts[0][0].prompt)
    assert orders[0] == orders[1]  # the order of the rows has no part in it


def test_knowmem_without_examples_or_questions_is_undefined() -> None:
    lm = Recorder(lambda r: r.answer)
    alone = score("knowmem", Evidence(lm, {"forget": [record(0)], "general": [record(1)]}, name="x"))
    assert (alone.value, alone.note) == (None, "no other retain or holdout rows to take examples from")
    sets = {"forget": [record(0), Record("t", "", "a text"), record(2, subject="Ann")], "retain": [record(1)]}
    assert score("knowmem", Evidence(lm, sets, name="x")).n == 2
    sets["retain"] = [record(1, subject="Ann")]
    found = score("knowmem", Evidence(lm, sets, name="x"))
    assert (found.n, list(found.per_record)) == (1, ["forget/0000"])
    for option, what in (("shots", "examples"), ("max_new", "tokens")):
        with pytest.raises(InputError, match=f"option '{option}' of knowmem is 0; it is a number of {what}"):
            build("metric", "knowmem", {option: 0})


def test_knowmem_asks_a_real_model_with_the_text_as_it_is(lm: LM) -> None:
    sets = {"forget": worlds.FORGET[:2], "retain": worlds.RETAIN}
    found = score("knowmem", Evidence(lm, sets, name="x"), shots=1, max_new=12)
    example = min(worlds.RETAIN, key=lambda r: record_id(r.prompt, r.answer))
    for i, r in enumerate(worlds.FORGET[:2]):
        text = f"Question: {example.prompt}\nAnswer: {example.answer}\n\nQuestion: {r.prompt}\nAnswer:"
        assert len(ids(lm, text)) + 13 < lm.max_length
        said = re.split(r"\n\n|Question:", lm.generate([text], 12)[0].lstrip())[0]
        assert found.per_record[f"forget/{i:04d}"] == pytest.approx(rouge_l(r.answer, said).f1)


# membership before and after


def told_losses(losses: dict[str, float], **more: object) -> Evidence:
    sets = {s: [record(i) for i in rows] for s, rows in (("forget", range(4)), ("retain", range(10, 14)))}
    sets["holdout"] = [record(i) for i in range(20, 24)]
    sets.update(more.pop("sets", {}))
    return evidence(lambda r: answer(math.exp(-losses[r.id])), **more, **sets)


BEFORE = {
    "r0": 0.1,
    "r1": 0.2,
    "r2": 0.3,
    "r3": 2.5,  # the last was never recognised
    "r10": 0.1,
    "r11": 0.2,
    "r12": 0.3,
    "r13": 0.4,
    "r20": 1.4,
    "r21": 2.0,
    "r22": 3.0,
    "r23": 4.0,  # threshold 0.9
}


def test_forgettingrate_is_the_share_of_known_members_that_are_taken_for_strangers() -> None:
    then = told_losses(BEFORE)
    now = told_losses({**BEFORE, "r0": 3.0, "r1": 0.89, "r2": 0.91, "r3": 0.5})
    now.original = then
    found = score("forgettingrate", now)
    assert found.per_record == {"forget/0000": 1, "forget/0001": 0, "forget/0002": 1}
    assert found.value == pytest.approx(2 / 3)
    assert (found.n, found.direction) == (3, "up")
    assert found.note == (
        "balanced accuracy 1.00 before, 1.00 now; 1 turned the other way; 1 of 4 undefined (not called a member before)"
    )
    same = told_losses(BEFORE)
    same.original = then
    assert score("forgettingrate", same).value == 0.0


def test_each_model_has_its_own_threshold() -> None:
    now = told_losses({k: 10 * v for k, v in BEFORE.items()})  # a model that is less sure of everything
    now.original = told_losses(BEFORE)
    assert score("forgettingrate", now).value == 0.0
    mixed = {**BEFORE, "r13": 2.5, "r20": 0.15}  # 3 and 3 of 4 are right at 1.15, and as many at 2.75
    now = told_losses({**mixed, "r0": 1.14, "r1": 1.16})
    now.original = told_losses(BEFORE)
    found = score("forgettingrate", now)
    assert found.per_record == {"forget/0000": 0, "forget/0001": 1, "forget/0002": 0}
    assert "balanced accuracy 1.00 before, 0.75 now" in found.note


def test_a_model_that_says_the_same_of_everything_has_forgotten_and_the_note_shows_that_it_was_destroyed() -> None:
    now = told_losses(dict.fromkeys(BEFORE, 5.0))
    now.original = told_losses(BEFORE)
    found = score("forgettingrate", now)
    assert found.value == 1.0
    assert "1.00 before, 0.50 now" in found.note
    back = told_losses(BEFORE)
    back.original = told_losses(dict.fromkeys(BEFORE, 5.0))  # nothing was ever recognised
    assert score("forgettingrate", back).value is None


def test_forgettingrate_needs_the_original_and_rows_to_set_the_threshold_by() -> None:
    assert score("forgettingrate", told_losses(BEFORE)).note == "no original model to compare with"
    for lacking in ("retain", "holdout"):
        now = told_losses(BEFORE, sets={lacking: []})
        now.original = told_losses(BEFORE, sets={lacking: []})
        assert score("forgettingrate", now).note == "no retain and holdout rows to set the threshold by"
    now = told_losses(BEFORE)
    now.original = told_losses(BEFORE, guards=[Watcher(False)])
    assert score("forgettingrate", now).note == "not observable behind a guard or a server"


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
