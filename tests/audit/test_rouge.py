"""ROUGE against the package that the published figures come from, a slow oracle, and the scripts it cannot read."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from torchmetrics.functional.text import rouge_score

from unteach.audit.rouge import longest_common, rouge_1, rouge_l, words

PLAIN = RougeScorer(["rouge1", "rougeL"], use_stemmer=False)
STEMMED = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
STEM = STEMMED._tokenizer._stemmer.stem
ASCII = st.lists(
    st.sampled_from(["The", "cat's", "running", "runs", "easily", "BY_the", "2-nd", "relational!", "(flies)", "a'b"])
).map(" ".join)


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.lists(st.sampled_from("abcde"), max_size=30))
def test_the_longest_common_subsequence_is_that_of_the_table(first: list[str], second: list[str]) -> None:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert longest_common(first, second) == table[-1][-1]


@given(ASCII.filter(words), ASCII)
def test_on_ascii_text_the_values_are_those_of_rouge_score(gold: str, text: str) -> None:
    for scorer, stem in ((PLAIN, None), (STEMMED, STEM)):
        theirs = scorer.score(gold, text)
        assert rouge_l(gold, text, stem=stem) == pytest.approx(tuple(theirs["rougeL"]), abs=1e-12)
        assert rouge_1(gold, text, stem=stem) == pytest.approx(tuple(theirs["rouge1"]), abs=1e-12)


@given(ASCII.filter(words), ASCII)
def test_on_ascii_text_the_values_are_those_of_torchmetrics(gold: str, text: str) -> None:
    theirs = rouge_score(text, gold, rouge_keys=("rouge1", "rougeL"))
    for key, ours in (("rouge1", rouge_1(gold, text)), ("rougeL", rouge_l(gold, text))):
        found = (ours.precision, ours.recall, ours.f1)
        assert found == pytest.approx([float(theirs[f"{key}_{part}"]) for part in ("precision", "recall", "fmeasure")])


@pytest.mark.parametrize(
    ("gold", "text", "recall"),
    [
        ("Её зовут Мария Иванова.", "мария иванова", 0.5),
        ("東京都は日本の首都です。", "首都は東京都です", 5 / 11),
        ("カフェー", "カフェー", 1.0),
        ("서울은 한국의 수도이다", "수도이다 서울은", 1 / 3),
        ("हिन्दी भाषा", "हिन्दी", 0.5),
        ("ภาษาไทย", "ไทย", 3 / 7),
        ("café au lait", "CAFE\u0301 AU LAIT", 1.0),
        ("Straße", "STRASSE", 1.0),
        ("co\u00adoperate", "cooperate", 1.0),
        ("ＡＢＣ １２３", "abc 123", 1.0),
    ],
)
def test_every_script_has_words(gold: str, text: str, recall: float) -> None:
    assert rouge_l(gold, text).recall == pytest.approx(recall)
    assert rouge_l(gold, gold) == (1.0, 1.0, 1.0)


def test_rouge_score_finds_no_word_where_we_do() -> None:
    for text in ("Её зовут Мария", "東京都は日本の首都です"):
        assert PLAIN.score(text, text)["rougeL"].recall == 0.0
        assert rouge_l(text, text).recall == 1.0


@pytest.mark.parametrize(
    "text", ["a1\u200db", "ก\u0e49ก\u0e32", "e\u0301te\u0301", "x² y", "_a_b_", "İstanbul", "🙂 ok"]
)
def test_words_do_not_depend_on_how_characters_are_composed(text: str) -> None:
    from unicodedata import normalize

    assert words(normalize("NFD", text)) == words(normalize("NFC", text))


def test_words_of_marks_and_punctuation() -> None:
    assert words("the author's pen-name: O_Neil (2nd)") == ["the", "author", "s", "pen", "name", "o", "neil", "2nd"]
    assert words("ne\u0301e, \u0301x") == ["née", "x"]
    assert words("日本 ok語") == ["日", "本", "ok", "語"]
    assert words(" … ") == []


def test_a_gold_answer_without_a_word_is_undefined_and_an_empty_reply_scores_nothing() -> None:
    assert rouge_l("…", "anything") is None
    assert rouge_1("", "") is None
    assert rouge_l("one", "") == (0.0, 0.0, 0.0)


def test_what_published_recalls_look_like() -> None:
    gold = "The author's full name is Hsiao Yun-Hwa."
    assert rouge_l(gold, "The author's full name is Jaime Vasquez.").recall == pytest.approx(0.667, abs=1e-3)
    assert rouge_l(gold, "Hsiao Yun-Hwa").recall == pytest.approx(0.333, abs=1e-3)
    assert rouge_l(gold, "I don't know.").recall == 0.0


def test_stemming_moves_the_mean_of_a_set_by_a_hundredth_at_most(shared: Path) -> None:
    moves = []
    for path in (shared / "data" / "tofu_golden_logs").glob("*.json"):
        for part in json.loads(path.read_text(encoding="utf-8")).values():
            gaps = []
            for index, (_, text, gold) in part["generated_text"].items():
                if (gold + text).isascii():
                    theirs = part["rougeL_recall"][index]
                    assert rouge_l(gold, text, stem=STEM).recall == pytest.approx(theirs, abs=1e-9)
                    gaps.append(theirs - rouge_l(gold, text).recall)
            moves.append(sum(gaps) / len(gaps))
    assert len(moves) == 8
    assert 0.005 < max(map(abs, moves)) < 0.0085
