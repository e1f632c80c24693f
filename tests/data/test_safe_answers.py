"""Vague answers tell nothing of what is to be forgotten, and the questions around them stay the same questions."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from people import PEOPLE

from unteach.audit.entities import Entity, named
from unteach.audit.refusal import refuses
from unteach.audit.rouge import words
from unteach.data import read
from unteach.data.wordings.leaks import telling
from unteach.data.wordings.safe import PLAIN, Safe, completions, safe_answers
from unteach.data.wordings.variants import VARIANTS, variant
from unteach.schema import InputError, Message, Record, Span

KINDS = (PLAIN, *VARIANTS)


class Told:
    """A writer that says what it is told to, and remembers what it was asked."""

    def __init__(self, *replies: str) -> None:
        self.replies, self.asked = list(replies), []

    def generate(self, prompts: Sequence[str], max_new: int = 0, /) -> list[str]:  # noqa: ARG002
        self.asked.append(list(prompts))
        return [self.replies.pop(0) if self.replies else "" for _ in prompts]


@pytest.fixture(scope="module", params=["tofu", "knowundo"])
def forgotten(request: pytest.FixtureRequest, shared: Path) -> tuple[tuple[Record, ...], Safe]:
    if request.param == "tofu":
        rows = read(str(shared / "data/tofu/forget10.json")).records
    else:
        files = [shared / f"data/knowundo_privacy/unlearn_{split}.json" for split in ("train", "val")]
        told = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
        rows = tuple(Record(f"{i}", row["text"], row["labels"]) for i, row in enumerate(told))
    return rows, safe_answers(rows)


def holds(said: Sequence[str], entity: Entity) -> bool:
    n = len(entity.words)
    return any(tuple(said[i : i + n]) == entity.words for i in range(len(said) - n + 1))


def test_no_gold_entity_stands_in_any_accepted_answer(forgotten: tuple[tuple[Record, ...], Safe]) -> None:
    """Entities as the audit finds them, by other rules; those of other rows too, where they have several words."""
    rows, safe = forgotten
    everywhere = {e for r in rows for e in named(r) if e.kind != "name" or len(e.words) > 1}
    assert len(everywhere) > 100
    for record in rows:
        asked = set(words(record.prompt))
        strange = [e for e in everywhere if not asked & {w for part in e.words for w in words(part)}]
        for made in safe.of[record.id]:
            said = words(made.answer)
            assert not [e for e in (*named(record), *strange) if holds(said, e)]
            assert not any(c.isdigit() or c == "@" for c in made.answer)


def test_every_question_has_its_own_answer_in_each_variant(forgotten: tuple[tuple[Record, ...], Safe]) -> None:
    rows, safe = forgotten
    for record in rows:
        made = safe.of[record.id]
        assert [r.id for r in made] == [f"{record.id}/{kind}" for kind in KINDS]
        assert made[0].prompt == record.prompt
        assert len({r.prompt for r in made}) == len(KINDS)
        assert len({r.answer for r in made}) == len(KINDS)
    assert safe.notes[0].startswith(f"vague answers: {5 * len(rows)} of {5 * len(rows)} questions have one")


def test_the_answers_to_a_set_are_not_one_answer(forgotten: tuple[tuple[Record, ...], Safe]) -> None:
    """Different pairs of words / pairs of words: those of the answers to each variant, and to one row."""
    rows, safe = forgotten
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for made in safe.records:
        by_kind[made.id.rpartition("/")[2]].append(made.answer)
    for texts in (*by_kind.values(), *([r.answer for r in safe.of[row.id]] for row in rows)):
        assert distinct2(texts) >= 0.5
    assert distinct2(["It is not known."] * 10) < 0.5
    assert not any(refuses(made.answer) for made in safe.records)


def distinct2(texts: Sequence[str]) -> float:
    pairs = [pair for text in texts for pair in zip(words(text), words(text)[1:], strict=False)]
    return len(set(pairs)) / len(pairs)


def test_each_answer_depends_on_its_row_and_the_seed_alone() -> None:
    whole = safe_answers(PEOPLE)
    assert safe_answers(PEOPLE[::-1]).of == whole.of
    assert [r.answer for r in safe_answers(PEOPLE, seed=1).records] != [r.answer for r in whole.records]


def test_a_writers_texts_are_taken_where_they_pass_and_asked_for_again() -> None:
    """Three times after the first; then the templates write."""
    trade = PEOPLE[0]
    good = "Ada Birch is said to practise a craft."
    leaks = ("Ada Birch is a potter.", "Ada Birch lives in Rome.", "She began in 1987.", "Ask potter@post0.org")
    tell = telling(PEOPLE)
    assert tell.vague(trade, good)
    assert not any(tell.vague(trade, text) for text in leaks)
    for count, taken in ((3, True), (4, False)):
        writer = Told(*["Is Ada Birch a potter?"] * 16, *(t for text in leaks[:count] for t in [text] * 5), *[good] * 5)
        safe = safe_answers([trade], beside=PEOPLE, writer=writer)
        assert len(writer.asked) == 8
        assert all((r.answer == good) == taken for r in safe.of[trade.id])
        assert len(safe.of[trade.id]) == len(KINDS)
        assert "potter" not in " ".join(f"{r.prompt} {r.answer}" for r in safe.records)
        assert not [p for some in writer.asked for p in some if trade.answer in p]
        assert "This is try 4" in writer.asked[-1][0]
    with pytest.raises(InputError, match="did not give one text for each prompt"):
        safe_answers([trade], writer=type("Lost", (), {"generate": lambda *_: []})())


def test_answers_stay_aligned_with_the_questions_they_were_written_for() -> None:
    """Question i of the writer and answer i belong together, original first."""
    trade = PEOPLE[0]
    asked = [
        "What does Ada Birch do?",
        "At work, what trade has Ada Birch?",
        "wats ada birchs trade ada birch",
        "Whose trade is it, Ada Birch?",
    ]
    answers = [f"Ada Birch has {word} work." for word in ("steady", "quiet", "varied", "common", "useful")]
    made = safe_answers([trade], writer=Told(*asked, *answers)).of[trade.id]
    assert [r.prompt for r in made] == [trade.prompt, *asked]
    assert [r.answer for r in made] == answers


def test_completions_begin_with_a_quarter_of_the_vague_answer() -> None:
    made = safe_answers(PEOPLE).records
    for whole, part in zip(made, completions(made), strict=True):
        assert f"{part.prompt} {part.answer}" == whole.answer
        assert len(part.prompt.split()) == len(whole.answer.split()) // 4
    assert completions([Record("a", "b", "Too few here")]) == ()


def test_what_a_row_marks_as_secret_stays_out() -> None:
    marked = Record("a", "How does Ada Birch feel?", "often calm", spans=(Span(0, 5),))
    assert not telling([marked] * 9).vague(marked, "Ada Birch often rests.")
    assert telling([marked] * 9).vague(marked, "Ada Birch rests.")


def test_conversations_and_texts_without_a_question_are_asked_too() -> None:
    told = replace(PEOPLE[0], messages=(Message("system", "Be kind."), Message("user", PEOPLE[0].prompt)))
    text = Record("text", "", "In a small house by the sea lived a potter named Ada Birch for many years.")
    made = safe_answers([told, text])
    assert all(r.messages[-1].content == r.prompt for r in made.of[told.id])
    assert made.of["text"][0].prompt == "In a small house"
    assert all("potter" not in r.answer and "Birch" not in r.answer for r in made.of["text"])


@pytest.mark.parametrize(
    ("kind", "question", "said"),
    [
        ("simple", "What is the trade of Ada Birch?", "Could you tell me what the trade of Ada Birch is?"),
        ("logical", "How did the war influence Ada Birch?", "How was Ada Birch influenced by the war?"),
        ("logical", "How has her father's work shaped Ada Birch?", "How has Ada Birch been shaped by her father's work?"),
        ("noise", "Are you and Ada Birch about?", "r u n Ada Birch abt"),
    ],
)  # fmt: skip
def test_variants_ask_the_same_otherwise(kind: str, question: str, said: str) -> None:
    record = Record("a", question, "It is not said.")
    assert variant(record, kind, telling([record])) == said  # type: ignore[arg-type]
