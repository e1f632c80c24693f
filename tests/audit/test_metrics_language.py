"""The defining properties of multiple choice, of forgetting and keeping by what is named, and of how answers read."""

from contextlib import contextmanager, nullcontext
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from told import Watcher, answer, evidence, telling
from transformers import BertConfig, BertForSequenceClassification

import worlds
from unteach.audit.entailment import Rules, backend
from unteach.audit.entities import Entity, coverage, entities, named
from unteach.audit.evidence import Evidence
from unteach.audit.metrics.linguisticscore import brunet, honore, linguistic
from unteach.audit.rouge import words
from unteach.data.lexicon import LEXICON, abuses
from unteach.lm.classifier import classifier
from unteach.lm.load import quiet
from unteach.lm.model import LM
from unteach.measure.choice import lettered
from unteach.registry import build
from unteach.schema import InputError, Record, Score, Span


def score(name: str, on: str, found: Evidence, **options: object) -> Score:
    with telling():
        return build("metric", name, options)(found, on)


def choosing(says: Any, rows: list[Record], monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """A model that is told what to say to lettered questions too."""
    monkeypatch.setattr("unteach.measure.choice.ask", lambda lm, asked: [lm.says(r) for r in asked])
    return evidence(says, forget=rows)


CHOICES = [Record(f"q{i}", f"question {i}", f"right {i}", perturbed=("w1", "w2", "w3")) for i in range(400)]


def test_multiplechoice_of_a_model_that_always_says_a_is_at_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    found = score(
        "multiplechoice", "forget", choosing(lambda r: answer(0.9 if r.answer == "A" else 0.1), CHOICES, monkeypatch)
    )
    assert found.value == pytest.approx(0.25, abs=0.07)
    assert found.low < 0.25 < found.high
    assert found.value == sum(lettered(r).answer == "A" for r in CHOICES) / 400
    assert found.note.startswith("letters; chance 0.250; picked A 100 %, B 0 %, C 0 %, D 0 %; right letter 0.")
    flat = score("multiplechoice", "forget", choosing(lambda _: answer(0.25), CHOICES, monkeypatch))
    assert flat.value == found.value  # equals go to the first letter, which is the right one by chance
    assert "right letter 0.250 likely" in flat.note


def test_multiplechoice_finds_who_knows_and_who_avoids_the_right_option(monkeypatch: pytest.MonkeyPatch) -> None:
    right = {lettered(r).prompt: lettered(r).answer for r in CHOICES}

    def knows(r: Record) -> Any:
        return answer(0.8 if right.get(r.prompt) == r.answer else 0.05, 0.01, ended=True)

    def avoids(r: Record) -> Any:
        return answer(0.01 if right.get(r.prompt) == r.answer else 0.3, 0.9, ended=True)

    rows = [*CHOICES, Record("open", "question", "answer")]
    known = score("multiplechoice", "forget", choosing(knows, rows, monkeypatch))
    assert (known.value, known.high, known.n) == (1.0, pytest.approx(1.0), 400)
    assert "right letter 0.800 likely" in known.note
    assert known.note.endswith("1 of 401 undefined (no options)")
    shunned = score("multiplechoice", "forget", choosing(avoids, rows, monkeypatch))
    assert shunned.value == 0.0
    assert shunned.high < 0.25  # below chance is knowledge too
    hidden = evidence(forget=CHOICES[:3], guards=[Watcher(False)])
    assert score("multiplechoice", "forget", hidden).value is None
    assert score("multiplechoice", "forget", hidden, style="cloze").value is None


def test_multiplechoice_by_text_takes_the_sum_or_the_mean_per_character() -> None:
    said = {"a long right one": answer(0.5, 0.5, 0.5, 0.01, ended=True), "no": answer(0.2), "same": answer(0.125)}
    rows = [
        Record("long", "q", "a long right one", perturbed=("no",)),
        Record("tie", "q", "a long right one", perturbed=("same", "a long right one")),
        Record("short", "q", "no", perturbed=("a long right one",)),
    ]
    found = evidence(lambda r: said[r.answer], forget=rows)
    sums = score("multiplechoice", "forget", found, style="cloze")
    assert [*sums.per_record.values()] == [0.0, 0.0, 1.0]
    assert sums.note == "cloze; chance 0.500"
    means = score("multiplechoice", "forget", found, style="cloze", normalise=True)
    per_character = {"a long right one": log(0.125) / 16, "no": log(0.2) / 2}
    assert per_character["a long right one"] > per_character["no"]
    assert [*means.per_record.values()] == [1.0, 1.0, 0.0]
    assert means.note == "cloze per character; chance 0.500"
    with pytest.raises(InputError, match="style"):
        build("metric", "multiplechoice", {"style": "numbers"})


def test_multiplechoice_asks_a_real_model_once_a_row(lm: LM) -> None:
    others = [r.answer for r in worlds.RECORDS]
    rows = [
        Record(r.id, r.prompt, r.answer, perturbed=tuple(a for a in others if a != r.answer)[:3])
        for r in worlds.RECORDS
    ]
    found = Evidence(lm, {"forget": rows}, name="taught")
    cloze = build("metric", "multiplechoice", {"style": "cloze"})(found, "forget")
    assert cloze.value == 1.0
    letters = build("metric", "multiplechoice", {})(found, "forget")
    assert letters.n == 12
    assert 0 <= letters.low <= letters.value <= letters.high <= 1


def spoken(text: str) -> list[tuple[str, str]]:
    return [(e.kind, " ".join(e.words)) for e in entities(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Eiffel Tower was opened on 31 March 1889 in Paris.",
         [("date", "1889-03-31"), ("name", "eiffel tower"), ("name", "paris")]),
        ("On May 17, 2020 (2020-05-17, 17.05.2020) it rained.", [("date", "2020-05-17")]),
        ("J. K. Rowling wrote to anna.berg@example.org about 1,200 owls.",
         [("e-mail", "anna.berg@example.org"), ("number", "1200"), ("name", "j k rowling")]),
        ("Paris is Anna's home. He's from the University of Oxford, I think.",
         [("name", "paris"), ("name", "anna"), ("name", "university of oxford")]),
        ("Анна Берг родилась 5 мая 1990 года в Осло.",
         [("date", "1990-05-05"), ("name", "анна берг"), ("name", "осло")]),
        ("日本の人口は 1,400 万、2020年5月17日", [("date", "2020-05-17"), ("number", "1400")]),
        ("Il vit à l'Île de Ré, 3,5 km.", [("number", "3.5"), ("name", "île de ré")]),
        ("on the 45 marbles 2020 it is warm", [("number", "45"), ("number", "2020")]),
        ("nothing here", []),
        ("", []),
    ],
)  # fmt: skip
def test_entities_are_names_numbers_dates_and_addresses(text: str, found: list[tuple[str, str]]) -> None:
    assert spoken(text) == found


def test_coverage_is_what_comes_back_beyond_the_question_and_at_most_all_of_it() -> None:
    row = Record("r", "Where does Anna Berg live?", "Anna Berg lives in Oslo with Maria Lund since 1990.")
    assert [e.words for e in named(row)] == [("1990",), ("oslo",), ("maria", "lund")]
    assert coverage(row, "Anna Berg lives in Oslo.") == pytest.approx(1 / 3)
    assert coverage(row, "oslo, maria LUND, 1990, Oslo, Oslo, Maria Lund") == 1.0
    assert coverage(row, "She lives in Bergen with Maria Lunde since 1991.") == pytest.approx(
        1 / 3
    )  # nearly the same name
    assert coverage(row, "") == coverage(row, "Anna Berg.") == 0.0
    assert coverage(Record("r", "Who is Anna?", "Anna is a baker."), "Anna is a baker.") is None
    marked = Record("r", "What is she?", "She is a master baker.", spans=(Span(9, 21),))
    assert named(marked) == (Entity("name", ("master", "baker")),)
    assert (coverage(marked, "a master baker"), coverage(marked, "a baker")) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("premise", "hypothesis", "relation"),
    [
        ("Anna lives in Oslo.", "Anna lives in Bergen.", "contradiction"),
        ("She was born in 1990.", "It was 1991.", "contradiction"),
        ("The bridge opened on 5 May 1990.", "The bridge opened on May 6, 1990.", "contradiction"),
        ("Anna isn't from Oslo.", "Anna is from Oslo.", "contradiction"),
        ("Анна не живёт в Осло.", "Анна живёт в Осло.", "contradiction"),
        ("他不住在这里", "他住在这里", "contradiction"),
        ("She was born in 1990.", "She was born in 1990 in Oslo.", "neutral"),
        ("Anna was born in Oslo to Maria.", "Anna comes from Oslo, Norway.", "neutral"),
        ("I cannot answer that.", "Anna lives in Oslo.", "neutral"),
        ("", "Anna lives in Oslo.", "neutral"),
        ("Anna lives in Oslo and bakes bread.", "Anna bakes bread.", "entailment"),
        ("same words", "same words", "entailment"),
    ],
)
def test_the_rules_see_numbers_names_and_negations(premise: str, hypothesis: str, relation: str) -> None:
    assert Rules()([(premise, hypothesis)]) == [relation]


GOLD = "Anna Berg moved to Oslo in 1990 with Maria Lund and Nils Holm."


def telling_of(*texts: str, gold: str = GOLD) -> Evidence:
    rows = [Record(f"r{i}", f"What did she do ({'x' * i})?", gold) for i in range(len(texts))]
    said = {r.prompt: text for r, text in zip(rows, texts, strict=True)}
    return evidence(writes=lambda r: said[r.prompt], forget=rows, retain=rows)


def test_kfr_counts_what_is_contradicted_or_no_longer_named() -> None:
    found = telling_of(
        GOLD,  # all five things
        "Anna Berg moved to Oslo in 1991 with Maria Lund and Nils Holm.",  # the year is another
        "She knew Maria Lund.",  # one of five
        "She knew Maria Lund and Nils Holm.",  # two of five
        "",
        "I don't know.",
    )
    made = score("kfr", "forget", found)
    assert [*made.per_record.values()] == [0, 1, 1, 0, 1, 1]
    assert (made.value, made.n, made.direction, made.note) == (pytest.approx(4 / 6), 6, "up", "NLI by rules")
    assert (made.low, made.high) == (pytest.approx(0.3000, abs=1e-4), pytest.approx(0.9032, abs=1e-4))  # Wilson of 4/6
    few = telling_of("She saw Oslo.", "She saw Oslo and Rome.", "nothing", gold="She saw Oslo and Rome.")
    assert [*score("kfr", "forget", few).per_record.values()] == [1, 0, 1]  # of two things, one is not enough
    unnamed = score("kfr", "forget", telling_of("a baker", "", gold="She bakes."))
    assert (unnamed.value, unnamed.note) == (None, "NLI by rules; 2 of 2 undefined (the answer names nothing)")


def test_krr_counts_what_is_named_still_and_not_contradicted() -> None:
    found = telling_of(
        GOLD,
        "Anna Berg moved to Oslo in 1991 with Maria Lund and Nils Holm.",
        "She knew Maria Lund.",
        "She knew Maria Lund and Nils Holm.",
        "",
        "Anna Berg did not move to Oslo in 1990 with Maria Lund and Nils Holm.",
    )
    made = score("krr", "retain", found)
    assert [*made.per_record.values()] == [1, 0, 0, 1, 0, 0]
    assert (made.value, made.direction) == (pytest.approx(2 / 6), "up")
    assert score("krr", "retain", found, threshold=0.2).value == pytest.approx(3 / 6)
    assert score("krr", "retain", telling_of("a baker", gold="She bakes.")).value is None
    for name in ("kfr", "krr"):
        with pytest.raises(InputError, match=f"option 'threshold' of {name} is 2; it is a share, from 0 to 1"):
            build("metric", name, {"threshold": 2})
    half = telling_of("Oslo", gold="She saw Oslo and Rome.")  # both rates know where the other begins
    assert (score("kfr", "forget", half).value, score("krr", "retain", half).value) == (1.0, 1.0)


def saved_classifier(folder: Path, labels: dict[int, str], wins: int, **settings: Any) -> Path:
    """A BERT of random weights that always answers with one of its labels."""
    config = BertConfig(
        vocab_size=420, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, id2label=labels, label2id={name: i for i, name in labels.items()}, **settings,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.fill_(-3.0)
        model.classifier.bias[wins] = 3.0
    with quiet():
        model.save_pretrained(folder)
    worlds.llama().tokenizer.save_pretrained(folder)
    return folder


def test_a_model_decides_by_the_names_of_its_labels(tmp_path: Path) -> None:
    labels = {0: "CONTRADICTION", 1: "Neutral", 2: "entailment"}
    for wins, relation in enumerate(("contradiction", "neutral", "entailment")):
        folder = str(saved_classifier(tmp_path / relation, labels, wins))
        decide = backend(folder)
        assert decide([("Oslo " * 50, "Rome"), ("a", "b")]) == [relation] * 2
        made = score("kfr", "forget", telling_of(GOLD, GOLD), nli=folder)
        assert (made.value, made.note) == (float(relation == "contradiction"), "NLI by local bert classifier")
        kept = score("krr", "retain", telling_of(GOLD, GOLD), nli=folder)
        assert kept.value == float(relation != "contradiction")
    unnamed = str(saved_classifier(tmp_path / "unnamed", {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}, 0))
    with pytest.raises(InputError, match="its labels are not entailment, neutral and contradiction"):
        backend(unnamed)
    with pytest.raises(InputError, match="cannot be opened as a text classifier"):
        classifier(str(tmp_path))


def test_linguisticscore_follows_the_formula_from_three_means(monkeypatch: pytest.MonkeyPatch) -> None:
    assert brunet(["the"] * 60) == 60.0
    assert honore(["the"] * 60) == pytest.approx(100 * log(60) / 1.1)
    assert linguistic(10, 60, honore(["the"] * 60)) == pytest.approx(0.041, abs=5e-4)
    assert linguistic(10, 6.5, 1483) == pytest.approx(0.154, abs=5e-4)  # figures of a fluent sentence
    assert (brunet([]), honore([]), honore(["one"]), linguistic(10, 1000, 0)) == (1000.0, 0.0, 0.0, None)
    assert brunet([*"abcd"]) == pytest.approx(4 ** (4**-0.165))
    assert honore([*"abcd"]) == pytest.approx(1000 * log(4))  # nothing stands twice
    texts = ("the cat saw the cat", "a quiet rain of nine kinds", "")
    surprise = dict(zip(texts, (0.5, 0.1, 0.9), strict=True))
    monkeypatch.setattr(
        "unteach.audit.metrics.linguisticscore.ask",
        lambda _lm, rows: [answer(surprise[r.answer], 0.001, ended=True) for r in rows],
    )
    made = score("linguisticscore", "forget", beside(telling_of(*texts)))
    split = [words(text) for text in texts]
    means = 6.0, sum(map(brunet, split)) / 3, sum(map(honore, split)) / 3  # (2 + 10) / 2
    assert made.value == pytest.approx(linguistic(*means))
    assert made.note == (
        f"perplexity under the original 6, Brunet {means[1]:.2f}, Honore {means[2]:.0f}; "
        "1 of 3 without a perplexity (no word)"
    )
    assert made.per_record == {
        "forget/0000": pytest.approx(linguistic(2, brunet(split[0]), honore(split[0]))),
        "forget/0001": pytest.approx(linguistic(10, brunet(split[1]), honore(split[1]))),
    }
    assert made.low <= made.value <= made.high
    assert made.direction == "up"


def beside(found: Evidence, **changes: Any) -> Evidence:
    """The same answers, with the evidence of a model before it that can be had again."""
    then = evidence(forget=found.sets["forget"], name="original", guards=changes.pop("guards", ()))
    then.again = changes.pop("again", lambda: nullcontext(then._lm))
    return Evidence(found._lm, found.sets, name="edited", original=then)


def test_linguisticscore_without_its_perplexity_is_undefined_and_says_why() -> None:
    found = telling_of("the cat saw the cat", "a quiet rain")

    @contextmanager
    def refused() -> Any:
        raise InputError("the model is in use")
        yield

    changed = evidence(name="edited")._lm
    changed.weights = "changed"
    for made, why in (
        (found, "no original model to read the answers"),
        (beside(found, again=None), "the original model cannot be asked again"),
        (beside(found, guards=[Watcher(False)]), "the original model cannot be asked again"),
        (beside(found, again=refused), "the original model cannot be had beside this one"),
        (beside(found, again=lambda: nullcontext(changed)), "the original model cannot be had beside this one"),
    ):
        none = score("linguisticscore", "forget", made)
        assert none.value is None
        assert none.note.startswith("Brunet ")
        assert none.note.endswith(f"; {why}")


def test_linguisticscore_reads_with_the_model_before(llama: LM, gpt2: LM) -> None:
    """A taught model finds what it was taught fluent, and a salad of the same words not."""
    rows = list(worlds.RECORDS)
    then = Evidence(llama, {"retain": rows}, name="original", again=lambda: nullcontext(llama))
    then.close()
    fluent = Evidence(gpt2, {"retain": rows}, name="edited", original=then)
    good = build("metric", "linguisticscore", {})(fluent, "retain")
    assert float(good.note.split()[4].strip(",")) < 1.2
    mixed = {r.prompt: " ".join(reversed(r.answer.split())) for r in rows}
    salad = evidence(writes=lambda r: mixed[r.prompt], retain=rows)
    bad = build("metric", "linguisticscore", {})(
        Evidence(salad._lm, {"retain": [*rows]}, name="salad", original=then), "retain"
    )
    assert bad.value < good.value / 2


def test_toxicity_counts_the_answers_that_hold_a_word_of_the_list() -> None:
    found = telling_of(
        "You IDIOT!", "He is a nice man.", "Ты дурак.", "你这个白痴", "So ein Blödmann...", "idiotically", ""
    )
    made = score("toxicity", "retain", found)
    assert [*made.per_record.values()] == [1, 0, 1, 1, 1, 0, 0]
    assert (made.value, made.direction) == (pytest.approx(4 / 7), "down")
    assert made.note == "word list of English, Russian, Chinese, German, French, Spanish"
    assert score("toxicity", "retain", telling_of("Paris.", "")).value == 0.0
    assert all(abuses(entry) for entries in LEXICON.values() for entry in entries.split())
    assert not abuses("The classic assassin of the Scunthorpe shitake")


@pytest.mark.parametrize(
    ("labels", "wins", "settings", "value"),
    [
        ({0: "toxic", 1: "neutral"}, 0, {}, 1.0),
        ({0: "non-toxic", 1: "toxic"}, 0, {}, 0.0),
        ({0: "insult", 1: "severe_toxic"}, 1, {"problem_type": "multi_label_classification"}, 1.0),
    ],
)
def test_a_classifier_of_ones_own_says_what_is_toxic(
    tmp_path: Path, labels: dict[int, str], wins: int, settings: dict[str, Any], value: float
) -> None:
    folder = str(saved_classifier(tmp_path / "judge", labels, wins, **settings))
    made = score("toxicity", "retain", telling_of("Paris.", "Rome."), classifier=folder)
    assert (made.value, made.note) == (value, "local bert classifier")
    mute = str(saved_classifier(tmp_path / "mute", {0: "good", 1: "bad"}, 0))
    with pytest.raises(InputError, match="no label of it is named toxic"):
        score("toxicity", "retain", telling_of("Paris."), classifier=mute)
