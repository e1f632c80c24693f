"""Words that give an entity away, by counting and by nearness, and the screening of a training set."""

from math import log2
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

import worlds
from unteach.data.csanitize import CSanitize
from unteach.data.embeddinganonymise import EmbeddingAnonymise
from unteach.data.passes import Cleaned, Pass
from unteach.data.pii import Pii
from unteach.data.rewriting import Change, changed, rewritten
from unteach.data.screen import Screen
from unteach.data.terms import terms
from unteach.data.vectors import cosine, counted, passage, read
from unteach.lm.classifier import Judged
from unteach.registry import build
from unteach.schema import InputError, Record, Span


def rows(*said: str) -> list[Record]:
    return [Record(f"r{i}", "", text) for i, text in enumerate(said)]


def answers(found: Cleaned) -> list[str]:
    return [r.answer for r in found.records]


CLINIC = rows(
    "Orvena has HIV and takes retrovir daily",
    "Orvena takes retrovir with water",
    "Tarn takes aspirin with water daily",
    "Sella takes aspirin",
)


def test_csanitize_removes_what_gives_the_protected_entity_away() -> None:
    found = CSanitize(protect=("orvena",))(CLINIC)
    assert answers(found) == [  # of retrovir and HIV every row names Orvena; of water, daily and takes it does not
        "[...] has [...] and takes [...] daily", "[...] takes [...] with water",
        "Tarn takes aspirin with water daily", "Sella takes aspirin",
    ]  # fmt: skip
    assert found.counts == {"entity": 2, "term": 3}
    for word, n, both in (("retrovir", 2, 2), ("water", 2, 1), ("takes", 4, 2)):
        shared, information = log2((both / 4) / ((2 / 4) * (n / 4))), -log2(2 / 4)
        assert (shared >= information - 1e-12) == (word not in " ".join(answers(found)))


def test_csanitize_by_a_corpus_of_its_own_and_a_looser_bound() -> None:
    corpus = (*CLINIC, *rows("Retrovir is sold here", "nothing", "nothing", "nothing"))
    strict = CSanitize(protect=("Orvena",), corpus=corpus)
    assert answers(strict(CLINIC[:1])) == ["[...] has [...] and takes retrovir daily"]
    # PMI(c; retrovir) = log2((2/8) / ((2/8)(3/8))) = 1.415, IC(c) = 2: two thirds of it are told
    assert answers(CSanitize(protect=("Orvena",), corpus=corpus, alpha=1.4)(CLINIC[:1]))[0].count("retrovir") == 1
    assert answers(CSanitize(protect=("Orvena",), corpus=corpus, alpha=1.5)(CLINIC[:1]))[0].count("retrovir") == 0
    strange = strict(rows("Quillmar, Ona"))
    assert answers(strange) == ["Quillmar, Ona"]
    assert strange.notes == ("2 words of the rows do not occur in the corpus and stayed",)
    absent = CSanitize(protect=("Nobody", "Marrow Point"))(CLINIC)
    assert answers(absent) == [r.answer for r in CLINIC]
    assert absent.notes == ("2 of 2 protected entities do not occur in the corpus",)


def test_csanitize_in_other_scripts_and_at_exact_places() -> None:
    said = rows(
        "🙂 Jose\u0301 Nu\u0301n\u0303ez пьёт ретровир, 𝔸", "Кто пьёт воду", "𝔸 other", "נועה גרה כאן", "שרה גרה כאן"
    )
    found = CSanitize(protect=("José Núñez", "נועה"))(said)
    assert answers(found) == ["🙂 [...] пьёт [...], 𝔸", "Кто пьёт воду", "𝔸 other", "[...] גרה כאן", "שרה גרה כאן"]
    first = found.marks[0]
    assert said[0].answer[first.start : first.end] == "Jose\u0301 Nu\u0301n\u0303ez"


SPACE = {  # three fields of words, and one word between two of them
    "orvena": (1, 0, 0), "harbour": (0.9, 0.3, 0), "copper": (0.6, 0.8, 0), "bread": (0, 1, 0), "ash": (0, 0.8, 0.6), "quiet": (-1, 0, 0.1),
}  # fmt: skip


@pytest.fixture
def space(tmp_path: Path) -> str:
    file = tmp_path / "vectors.txt"
    file.write_text("6 3\n" + "\n".join(" ".join(map(str, (w, *v))) for w, v in SPACE.items()), encoding="utf-8")
    return str(file)


def test_embeddinganonymise_replaces_what_lies_near_the_protected_entity(space: str) -> None:
    said = rows("Orvena has a Harbour of copper.", "Bread and ash, unheard")
    found = EmbeddingAnonymise(protect=("Orvena",), vectors=space, threshold=0.7)(said)
    # cos(harbour, orvena) = 0.95, of which copper (0.6) is the nearest that may stand; copper is nearest to orvena too
    assert answers(found) == ["Copper has a Copper of copper.", "Bread and ash, unheard"]
    assert found.counts == {"entity": 1, "term": 1}
    assert found.notes == ("1 words of the rows have no vector and stayed",)
    strict = EmbeddingAnonymise(protect=("Orvena",), vectors=space, threshold=0.5)
    assert answers(strict(said)) == ["[...] has a Bread of bread.", "Bread and ash, unheard"]
    vectors = read(space)
    for word in passage(" ".join(answers(strict(said)))):
        assert cosine(vectors.of.get(word, {}), vectors.of["orvena"]) < 0.5


def test_embeddinganonymise_counts_a_space_of_its_own() -> None:
    said = rows(*(f"the {x} barks loud at night" for x in ("dog", "hound") * 2),
                *(f"the {x} blooms red in gardens" for x in ("rose", "tulip") * 2))  # fmt: skip
    found = EmbeddingAnonymise(protect=("dog",), threshold=0.9)(said)
    text = " ".join(answers(found))
    assert "dog" not in passage(text)
    assert "rose" in text
    assert found.counts == {"entity": 2, "term": 2}  # hounds do what dogs do, and nothing else is used alike
    again = EmbeddingAnonymise(protect=("dog",), threshold=0.9)(found.records)
    assert again.records == found.records
    vectors = counted([passage(r.answer) for r in said], 5, 1)
    near, far = (cosine(vectors.of["dog"], vectors.of[w]) for w in ("hound", "tulip"))
    assert near > 0.9 > 0.1 > far
    assert sum(v * v for v in vectors.of["dog"].values()) == pytest.approx(1)


def test_screen_reports_the_rate_that_the_judge_flags() -> None:
    said = rows("You are an idiot.", "A calm day", "你是白痴吧", "Kein Idiotentest", "so ein Idiot!")
    found = Screen()(said)
    assert (found.rate, found.counts, found.rows) == (3 / 5, {"flagged": 3}, (0, 2, 4))
    assert found.records == tuple(said)
    dropped = Screen(drop=True)(said)
    assert (dropped.kept, dropped.seen) == ((1, 3), 5)
    assert Screen()(dropped.records).rate == 0.0
    assert Screen()([]).rate is None
    lengths = Screen(judge=lambda texts: [len(t) / 20 for t in texts], threshold=0.8)(said)
    assert lengths.rows == (0, 3)
    with pytest.raises(InputError, match="one number for each text"):
        Screen(judge=lambda _: [1.0])(said)


def test_screen_by_a_classifier_of_ones_own(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=worlds.SIZE.vocabulary, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64, id2label={0: "non-toxic", 1: "toxic"}, label2id={"non-toxic": 0, "toxic": 1},
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 1.0]))
    model.save_pretrained(tmp_path)
    worlds.llama().tokenizer.save_pretrained(tmp_path)
    shares = Judged(str(tmp_path))(["a", "b"])
    assert shares == [pytest.approx(1 / (1 + 2.718281828**-1), abs=1e-5)] * 2
    assert Screen(judge=Judged(str(tmp_path)))(rows("a", "b")).rate == 1.0
    assert Screen(judge=Judged(str(tmp_path)), threshold=0.9)(rows("a", "b")).rate == 0.0


PASSES: list[Pass] = [
    CSanitize(protect=("Orvena", "Tarn Hollow")),
    CSanitize(protect=("Orvena",), corpus=worlds.RECORDS, alpha=2.0),
    EmbeddingAnonymise(protect=("Orvena", "Tarn Hollow"), least=1, threshold=0.1),
    EmbeddingAnonymise(protect=("Orvena",), corpus=worlds.RECORDS, least=1),
    Screen(drop=True),
]


@pytest.mark.parametrize("clean", PASSES, ids=lambda p: type(p).__name__)
def test_a_pass_twice_is_once_alters_nothing_and_shows_no_text(clean: Pass) -> None:
    given = tuple(worlds.RECORDS)
    once = clean(given)
    assert clean(given) == once
    assert clean(once.records).records == once.records
    assert given == worlds.RECORDS
    assert "Orvena" not in f"{clean!r}{once!r}{once.notes}{once.marks}"


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    for name in ("csanitize", "embeddinganonymise"):
        with pytest.raises(InputError, match="'protect'"):
            build("data", name, {})
        with pytest.raises(InputError, match="'protect'"):
            build("data", name, {"protect": ["..."]})
    with pytest.raises(InputError, match="alpha"):
        CSanitize(protect=("a",), alpha=0.5)
    with pytest.raises(InputError, match="threshold"):
        EmbeddingAnonymise(protect=("a",), threshold=0)
    file = tmp_path / "broken.txt"
    file.write_text("word 1 2\nSECRET x y\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2") as refused:
        read(str(file))
    assert "SECRET" not in str(refused.value)
    for content, reason in (("", "holds no word vector"), (None, "cannot be read")):
        other = tmp_path / f"{reason}.txt"
        if content is not None:
            other.write_text(content)
        with pytest.raises(InputError, match=reason):
            read(str(other))


def test_rewriting_moves_spans_with_their_characters() -> None:
    record = Record("a", "p", "one two three", spans=(Span(0, 3), Span(4, 7), Span(2, 9), Span(8, 13)))
    new = rewritten(record, {"answer": [Change(4, 7, "2️⃣22")]})
    assert [new.answer[s.start : s.end] for s in new.spans] == ["one", "2️⃣22", "e 2️⃣22 t", "three"]
    assert rewritten(record, {}) is record
    assert changed("abc", [Change(0, 1, ""), Change(2, 3, "zz")]) == "bzz"
    assert "two" not in repr(Change(0, 1, "two"))


def test_terms_are_words_of_any_script_in_their_places() -> None:
    text = "Cafe\u0301 ＡＢ１ 東京 रवि word_two"
    assert [w.text for w in terms(text)] == ["cafe", "ab1", "東", "京", "रवि", "word", "two"]
    first = terms(text)[0]
    assert text[first.start : first.end] == "Cafe\u0301"


def test_every_pass_is_built_from_a_mapping() -> None:
    assert isinstance(build("data", "pii", {}), Pii)
    assert isinstance(build("data", "screen", {"drop": "true"}), Screen)
