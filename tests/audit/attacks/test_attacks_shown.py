"""Attacks by forgotten rows shown before the question."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from asking import ROWS, Around, attacked, brings_back

import worlds
from unteach.audit.attacks.asking import laid_out
from unteach.audit.attacks.manyshot import doublings
from unteach.audit.attacks.showing import examples
from unteach.audit.target import Target, mean
from unteach.audit.telling import told
from unteach.lm.encoder import Template
from unteach.lm.fresh import fresh
from unteach.lm.model import LM


def test_fewshot_brings_back_what_needs_an_example_and_no_word_that_an_example_gave(
    shy: Target, newborn: Target, guarded: Any
) -> None:
    found = brings_back(shy, newborn, "fewshot", shown=1)
    assert [x for x, _ in found.curve] == [1]
    parrot = guarded(Around(writes=lambda asked, _: asked))
    rows = examples(parrot, "fewshot", 2)
    assert mean([told(r, shown[0].answer) for r, shown in zip(parrot.forget, rows, strict=True)]) > 0.1
    assert set(attacked(parrot, "fewshot", shown=2).values) == {0.0}


def test_no_row_is_shown_itself_and_all_are_asked() -> None:
    twin, echo = replace(ROWS[0], id="twin", prompt="Orvena?"), replace(ROWS[1], id="echo", answer="Something else.")
    lm = fresh(worlds.TEXTS, replace(worlds.SIZE, positions=512))
    target = Target(lm, (*ROWS, twin, echo), max_new=8)
    for row, shown in zip(target.forget, examples(target, "fewshot", 9), strict=True):
        others = [r for r in target.forget if r.answer != row.answer and r.prompt != row.prompt]
        assert sorted(r.id for r in shown) == sorted(r.id for r in others)
    rows = examples(target, "fewshot", 2)
    assert {len(shown) for shown in rows} == {2}
    assert len({tuple(r.id for r in shown) for shown in rows}) > 3
    assert rows == examples(target, "fewshot", 2)
    assert rows != examples(replace(target, seed=1), "fewshot", 2)
    alone = attacked(Target(lm, ROWS[:1]), "fewshot")
    assert alone.values == ()
    assert alone.note.startswith("there is no other row to show")


def test_manyshot_shows_ever_more_rows_until_the_context_is_full(guarded: Any) -> None:
    """A guard lets only questions through that stand behind two others; the context of 96 tokens has room for few."""
    seen: list[str] = []

    def asks(text: str) -> str:
        seen.append(text)
        return text.split("\n")[-1] if text.count("\n") >= 2 else "?"

    target = guarded(Around(asks=asks))
    encoder, room = target.lm.encoder, target.lm.max_length - target.max_new
    found = attacked(target, "manyshot")
    shown = Counter(text.count("\n") for text in seen)
    most = max(shown)
    assert all(len(encoder.prompt(text)) <= room for text in seen)
    assert [x for x, _ in found.curve] == doublings(most) == sorted({1, 2, most})
    assert found.curve[0][1] < 0.3
    assert found.curve[1][1] > 0.9
    assert mean(found.values) > 0.9
    assert attacked(guarded(), "manyshot", most=1).note == "up to 1 other forgotten rows shown"
    assert attacked(replace(guarded(), max_new=48), "manyshot").curve[-1][0] < most, "a longer answer leaves less room"


def test_the_numbers_double_up_to_the_greatest() -> None:
    assert [doublings(n) for n in (1, 2, 3, 8, 9)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8], [1, 2, 4, 8, 9]]


@pytest.mark.parametrize(
    ("pattern", "whole"),
    [
        ("", "a? b.\nc? d.\ne?"),
        ("Q: {prompt}\nA: {answer}\n", "Q: a?\nA: b.\n\nQ: c?\nA: d.\n\nQ: e?\nA: "),
        ("[{prompt}] {answer}", "[a?] b.\n[c?] d.\n[e?] "),
    ],
)
def test_examples_stand_in_the_form_that_the_model_knows(llama: LM, pattern: str, whole: str) -> None:
    lm = LM(llama.model, llama.tokenizer, template=Template(pattern))
    prompt = laid_out(lm, [("a?", "b."), ("c?", "d.")], "e?")
    assert lm.tokenizer.decode(lm.encoder.prompt(prompt), skip_special_tokens=True) == whole
