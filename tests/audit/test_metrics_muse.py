"""The defining properties of MUSE's metrics: texts said again, and questions behind examples."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from memorised import score
from told import ToldLM, Watcher, answer, record

import worlds
from unteach.audit.evidence import Evidence
from unteach.audit.metrics import verbmem
from unteach.audit.rouge import rouge_l
from unteach.lm.model import LM
from unteach.registry import build
from unteach.schema import InputError, Message, Record, record_id

pytestmark = pytest.mark.usefixtures("told_or_real")


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
