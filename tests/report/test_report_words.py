"""Everything has a saying, and numbers and gates are said as a reader would say them."""

import re
from typing import get_args

import pytest

from unteach.report.glossary import TERMS, term
from unteach.report.visible import one_line, visible
from unteach.report.words import (
    GUARANTEES,
    SCOPES,
    VERDICTS,
    WAYS,
    gate_sentence,
    interval,
    moment,
    number,
)
from unteach.schema import Direction, Gate, GuaranteeKind, Scope, Score, VerdictWord


def test_nothing_is_without_words():
    assert set(VERDICTS) == set(get_args(VerdictWord))
    assert set(GUARANTEES) == set(get_args(GuaranteeKind))
    assert set(WAYS) == set(get_args(Direction))
    assert set(SCOPES) == set(get_args(Scope))


def test_lower_classes_are_not_praised():
    for kind in ("empirical", "suppression", "none"):
        assert not re.search(r"guarantee|erased|anonymous|prove", " ".join(GUARANTEES[kind]), re.IGNORECASE)
    for saying in VERDICTS.values():
        assert not re.search(r"guarantee|erased|anonymous", saying.meaning)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"), (0.0, "0"), (1.0, "1"), (0.97812, "0.978"), (-98.4, "−98.4"), (5210.4, "5,210"),
        (0.00041, "0.00041"), (3.1e-17, "3.1×10⁻¹⁷"), (-2.9e13, "−2.9×10¹³"), (123456.0, "123,456"),
    ],
)  # fmt: skip
def test_numbers(value, said):
    assert number(value) == said


def test_intervals():
    assert interval(Score("x", 0.5, 0.4, 0.6)) == "0.4 to 0.6"
    assert interval(Score("x", 0.5, None, 0.6)) == ""


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (Gate("Retain accuracy", True, 0.98, 0.95), "Retain accuracy 0.98, at least 0.95 was asked: held"),
        (Gate("Retain accuracy", False, 0.5, 0.95), "Retain accuracy 0.5, at least 0.95 was asked: not held"),
        (Gate("Distance", True, 0.03, 0.05), "Distance 0.03, at most 0.05 was asked: held"),
        (Gate("Distance", False, 0.3, 0.05), "Distance 0.3, at most 0.05 was asked: not held"),
        (Gate("Difference", False, -0.3, 0.05), "Difference −0.3, at most 0.05 either way was asked: not held"),
        (Gate("Difference", True, -0.3, 0.05), "Difference −0.3, at most 0.05 was asked: held"),
        (Gate("Gain", False, -0.01, 0.05), "Gain −0.01, at least 0.05 was asked: not held"),
        (Gate("rougel on a b", True, 0.2, 0.3), "Overlap with the answer on a b 0.2, at most 0.3 was asked: held"),
        (Gate("Distance", True, 0.05, 0.05), "Distance 0.05, the limit is 0.05: held"),
        (Gate("Distance", None, None, 0.05), "Distance, the limit is 0.05: not measured"),
        (Gate("Distance", None, 0.1, 0.05), "Distance 0.1, the limit is 0.05: not measured"),
        (Gate("Fluent", False, None, None), "Fluent: not held"),
    ],
)
def test_gates(gate, said):
    assert gate_sentence(gate) == said


def test_moments():
    assert moment("2026-03-02T14:05:00Z") == "2 March 2026, 14:05 UTC"
    assert moment("2026-03-02") == "2 March 2026"
    assert moment("2026-03-02T14:05:00") == "2 March 2026, 14:05"
    assert moment("yesterday") == "yesterday"


def test_terms_are_single_sentences():
    for name, found in TERMS.items():
        assert found.meaning.endswith("."), name
        assert ". " not in found.meaning, name
        assert found.title[0].isupper(), name


def test_a_metric_without_an_entry_is_still_explained():
    assert term("nowhere registered").meaning == "This metric came without an explanation."


def test_acting_characters_are_seen():
    assert visible("a\u202eb\x00\r\nc\td") == "a⟨U+202E⟩b⟨U+0000⟩\nc\td"
    assert visible("👩‍👩‍👧 می‌خواهم") == "👩‍👩‍👧 می‌خواهم"
    assert one_line(" a\n b ", 0) == "a b"
    assert one_line("abcdef", 4) == "abc…"
