"""The defining property of each metric."""

from collections import Counter
from math import exp, log, log2
from statistics import harmonic_mean

import numpy as np
import pytest
from told import answer, evidence, record, telling

from unteach.audit.aggregate import share_of_choices
from unteach.audit.metrics.miamink import MIAMinK
from unteach.audit.metrics.truthratio import TruthRatio
from unteach.registry import build
from unteach.schema import InputError, Record, Score


def score(name: str, on: str, found, **options) -> Score:
    with telling():
        return build("metric", name, options)(found, on)


def some(n: int, **more) -> list[Record]:
    return [record(i, **more) for i in range(n)]


def test_probability_is_the_geometric_mean_of_the_token_probabilities() -> None:
    said = {0: answer(0.5, 0.02, ended=True), 1: answer(0.9)}
    found = score("probability", "forget", evidence(lambda r: said[int(r.id[1:])], forget=some(2)))
    assert found.per_record == {
        "forget/0000": pytest.approx((0.5 * 0.02) ** 0.5), "forget/0001": pytest.approx(0.9)
    }  # fmt: skip
    assert found.value == pytest.approx((0.1 + 0.9) / 2)
    assert found.direction == "target"
    assert score("probability", "retain", evidence(retain=some(2))).direction == "up"


def test_rougel_is_the_share_of_the_gold_words_that_come_back_in_order() -> None:
    rows = [Record("a", "q", "one two three four"), Record("b", "p", "one two")]
    found = evidence(writes=lambda r: {"q": "Four, one -- three!", "p": "nothing"}[r.prompt], forget=rows)
    recall = score("rougel", "forget", found)
    assert recall.per_record == {"forget/0000": 0.5, "forget/0001": 0.0}
    assert recall.note == "recall"
    assert score("rougel", "forget", found, part="precision").value == pytest.approx(2 / 3 / 2)
    assert score("rougel", "forget", found, part="f1").value == pytest.approx(4 / 7 / 2)
    with pytest.raises(InputError, match="part"):
        build("metric", "rougel", {"part": "half"})


def test_paraphrase_takes_the_wording_that_says_most_on_forget_and_least_on_retain() -> None:
    rows = [Record("a", "q", "one two", paraphrases=("x", "y", "z")), Record("b", "p", "one")]
    said = {"x": "one", "y": "two one two", "z": ""}
    found = evidence(writes=lambda r: said.get(r.prompt, "one two"), forget=rows, retain=rows)
    assert score("paraphrase", "forget", found).per_record == {"forget/0000": 1.0}
    assert score("paraphrase", "retain", found).per_record == {"retain/0000": 0.0}
    note = score("paraphrase", "forget", found).note
    assert note == "worst of 3 wordings; over all of them 0.500; 1 of 2 undefined (no other wording)"


@pytest.mark.parametrize("definition", ["geometric", "arithmetic"])
def test_truthratio_is_one_where_true_and_false_answers_are_equally_likely(definition: str) -> None:
    rows = some(3, perturbed=("w1", "w2"), restated="r")
    same = evidence(lambda _: answer(0.3), forget=rows, retain=rows)
    found = score("truthratio", "forget", same, definition=definition)
    assert found.value == 1.0
    assert found.per_record == {f"forget/{i:04d}": 1.0 for i in range(3)}
    assert score("truthratio", "retain", same, definition=definition).value == 0.0
    assert definition in found.note
    sure = evidence(lambda r: answer({"r": 0.8, "w1": 0.08, "w2": 0.02}.get(r.answer, 0.5)), forget=rows, retain=rows)
    ratio = {"geometric": 0.04, "arithmetic": 0.05}[definition] / 0.8
    assert score("truthratio", "forget", sure, definition=definition).value == pytest.approx(ratio)
    assert score("truthratio", "retain", sure, definition=definition).value == pytest.approx(1 - ratio)
    wrong = evidence(lambda r: answer({"r": 0.01}.get(r.answer, 0.1)), forget=rows, retain=rows)
    found = score("truthratio", "forget", wrong, definition=definition)
    assert (found.value, found.per_record["forget/0000"]) == (pytest.approx(0.1), pytest.approx(10))
    assert score("truthratio", "retain", wrong, definition=definition).value == 0.0


def test_truthratio_of_a_collapsed_model_stays_finite() -> None:
    rows = some(2, perturbed=("w",), restated="r")
    for right, wrong in ((0.0, 1.0), (1.0, 0.0), (0.0, 0.0)):
        said = {"w": answer(wrong), "r": answer(right)}
        found = score("truthratio", "forget", evidence(lambda r, said=said: said[r.answer], forget=rows))
        assert all(np.isfinite(v) for v in found.per_record.values())
        assert found.value is None or 0 <= found.value <= 1


def test_forgetquality_is_one_for_the_retrained_model_itself() -> None:
    rows = some(30, perturbed=("w",))

    def says(tilt: float):
        return lambda r: answer(0.01 + 0.02 * int(r.id[1:]) + (tilt if r.answer == "w" else 0))

    retrained = evidence(says(0.1), forget=rows)
    itself = score("forgetquality", "forget", evidence(says(0.1), retrained=retrained, forget=rows))
    assert itself.value == 1.0
    assert itself.note.startswith("D = 0.0000 between 30 and 30 rows, geometric truth ratio")
    other = score("forgetquality", "forget", evidence(says(-0.005), retrained=retrained, forget=rows))
    assert other.value < 1e-6
    alone = score("forgetquality", "forget", evidence(says(0.1), forget=rows))
    assert (alone.value, alone.note) == (None, "no retrained model to compare with")


def test_modelutility_is_the_harmonic_mean_of_its_terms() -> None:
    rows = some(6, perturbed=("w1", "w2"))

    def says(r: Record):
        return answer({"w1": 0.1, "w2": 0.1}.get(r.answer, 0.4))

    found = evidence(says, lambda r: r.answer or "answer", retain=rows, real_authors=rows, world_facts=rows)
    utility = score("modelutility", "retain", found)
    terms = [0.4, 1 / 3, 0.75] + [0.4 / 0.6, 1 / 3, 0.75] * 2
    assert utility.value == pytest.approx(harmonic_mean(terms))
    assert utility.note.startswith(
        "harmonic mean of 9 (geometric truth ratio): retain: probability 0.4000, rougel 0.3333"
    )
    assert "world_facts: probability 0.6667" in utility.note
    assert utility.low == pytest.approx(utility.value) == utility.high
    fewer = score("modelutility", "retain", evidence(says, lambda _: "answer", retain=rows, general=some(3)))
    assert fewer.value == pytest.approx(harmonic_mean(terms[:3]))
    assert fewer.note.startswith("harmonic mean of 3 ")
    broken = score("modelutility", "retain", evidence(says, lambda _: "", retain=rows))
    assert (broken.value, broken.low, broken.high) == (0.0, 0.0, 0.0)
    assert score("modelutility", "retain", evidence(retain=some(3))).value is None


def test_exactmemorization_counts_the_tokens_the_model_would_choose_itself() -> None:
    said = answer(0.9, 0.1, 0.8, 0.2, 0.9, hit=(True, False, True, False, True), ended=True)
    found = score("exactmemorization", "forget", evidence(lambda _: said, forget=some(2)))
    assert found.value == 0.5  # of four words; that the end was known does not count


def test_extractionstrength_is_zero_for_a_model_that_completes_nothing() -> None:
    def strength(*hit: bool) -> float:
        said = answer(*[0.5] * (len(hit) + 1), hit=(*hit, True), ended=True)
        return score("extractionstrength", "forget", evidence(lambda _: said, forget=some(2))).value

    assert strength(True, True, True, True) == 1.0
    assert strength(False, True, True, True) == 0.75
    assert strength(True, False, True, True) == 0.5
    assert strength(True, True, True, False) == 0.0  # one spoiled token at the end hides all
    assert strength(False, False) == 0.0


def test_mialoss_is_one_where_every_forgotten_row_is_likelier_than_every_unseen_one() -> None:
    rows = {"forget": some(4), "holdout": [record(i) for i in range(10, 15)]}
    known = score("mialoss", "forget", evidence(lambda r: answer(0.9 if int(r.id[1:]) < 9 else 0.1), **rows))
    assert (known.value, known.high, known.n) == (1.0, 1.0, 4)
    assert 0.5 < known.low < 1
    assert known.per_record["forget/0003"] == pytest.approx(-log(0.9))
    assert known.per_record["holdout/0004"] == pytest.approx(-log(0.1))
    assert "100 % found at 1 % false alarms, 5 holdout rows" in known.note
    assert score("mialoss", "forget", evidence(lambda _: answer(0.2), **rows)).value == 0.5
    shunned = score("mialoss", "forget", evidence(lambda r: answer(0.9 if int(r.id[1:]) > 9 else 0.1), **rows))
    assert shunned.value == 0.0
    alone = score("mialoss", "forget", evidence(forget=some(3)))
    assert (alone.value, alone.note) == (None, "no holdout rows to compare with")


def test_miamink_over_all_tokens_ranks_as_the_loss_without_the_end_token_does() -> None:
    draw = np.random.default_rng(0)
    said = {f"r{i}": answer(*draw.uniform(0.01, 1, 7), ended=i % 2 == 0) for i in range(20)}
    rows = {"forget": some(8), "holdout": [record(i) for i in range(8, 20)]}
    found = evidence(lambda r: said[r.id], **rows)
    losses = {name: [-said[r.id].words.logps.mean() for r in rows[name]] for name in rows}
    slow = np.mean([(a < b) + (a == b) / 2 for a in losses["forget"] for b in losses["holdout"]])
    assert score("miamink", "forget", found, k=1.0).value == pytest.approx(slow)
    one = score("miamink", "forget", found, k=0.01)  # at least one token
    assert one.per_record["forget/0001"] == pytest.approx(-said["r1"].logps.min())
    assert one.note.startswith("k = 0.01; ")
    with pytest.raises(InputError, match="above 0 and at most 1"):
        MIAMinK(0.0)


def test_accuracy_counts_ties_as_wrong_and_names_chance() -> None:
    rows = [*some(3, perturbed=("w1", "w2")), record(3, perturbed=("w1",)), record(4)]
    right = {"r0": 0.5, "r1": 0.2, "r2": 0.3, "r3": 0.9}
    found = score(
        "accuracy", "forget",
        evidence(lambda r: answer(0.2 if r.answer.startswith("w") else right.get(r.id, 0.5)), forget=rows),
    )  # fmt: skip
    assert found.per_record == {"forget/0000": 1.0, "forget/0001": 0.0, "forget/0002": 1.0, "forget/0003": 1.0}
    assert found.value == 0.75
    assert found.note == "chance 0.375; 1 of 5 undefined (no wrong answer to compare with)"
    assert (found.low, found.high) == (pytest.approx(0.3006, abs=1e-4), pytest.approx(0.9544, abs=1e-4))
    uniform = evidence(lambda r: answer(*[1 / 512] * (2 + len(r.answer) % 5)), forget=rows)
    assert score("accuracy", "forget", uniform).value == 0.0


def test_accuracy_gives_short_answers_no_head_start() -> None:
    rows = [Record("r", "q", "long", perturbed=("short",))]
    said = {"long": answer(0.5, 0.5, 0.5, 0.5), "short": answer(0.4)}
    assert score("accuracy", "forget", evidence(lambda r: said[r.answer], forget=rows)).value == 1.0


def test_perplexity_of_uniform_logits_is_the_size_of_the_vocabulary() -> None:
    uniform = evidence(lambda r: answer(*[1 / 512] * (1 + int(r.id[1:]))), retain=some(5))
    found = score("perplexity", "retain", uniform)
    assert found.value == pytest.approx(512)
    assert found.per_record["retain/0004"] == pytest.approx(512)
    assert (found.low, found.high) == (pytest.approx(512), pytest.approx(512))
    mixed = evidence(lambda r: answer(*[0.5] * 3) if r.id == "r0" else answer(0.125), retain=some(2))
    assert score("perplexity", "retain", mixed).value == pytest.approx(exp((3 * log(2) + log(8)) / 4))
    sure = evidence(lambda _: answer(0.0, 0.5), retain=some(3))
    assert np.isfinite(score("perplexity", "retain", sure).value)


def test_ngramentropy_is_zero_for_one_word_repeated() -> None:
    def entropy(text: str) -> float:
        return score("ngramentropy", "retain", evidence(writes=lambda _: text, retain=some(2))).value

    assert entropy("the the the the the") == 0.0
    assert entropy("") == entropy("word") == 0.0
    text = "the cat saw the cat and the cat ran"
    slow = 0.0
    for n, weight in ((2, 2 / 3), (3, 4 / 3)):
        grams = Counter(tuple(text.split()[i : i + n]) for i in range(len(text.split()) - n + 1))
        total = sum(grams.values())
        slow -= weight * sum(c / total * log2(c / total) for c in grams.values()) / 2
    assert entropy(text) == pytest.approx(slow)
    assert entropy("日本の首都は東京です") > 2


def test_distinctoutputs_falls_to_one_in_n_for_a_canned_reply() -> None:
    canned = score("distinctoutputs", "retain", evidence(writes=lambda _: "I do not know.", retain=some(8)))
    assert canned.value == pytest.approx(1 / 8)
    assert score("distinctoutputs", "retain", evidence(writes=lambda r: r.prompt, retain=some(8))).value == 1.0
    two = evidence(writes=lambda r: "a " if int(r.id[1:]) < 3 else "a" if r.id == "r3" else r.prompt, retain=some(8))
    assert score("distinctoutputs", "retain", two).value == pytest.approx(5 / 8)


def test_undefined_values_are_left_out_and_counted() -> None:
    said = {"r0": answer(), "r1": answer(float("nan")), "r2": answer(0.5), "r3": answer(1.0)}
    found = score("probability", "forget", evidence(lambda r: said[r.id], forget=some(4)))
    assert (found.value, found.n) == (pytest.approx(0.75), 2)
    assert found.note == "2 of 4 undefined (no answer token)"
    none = score("probability", "forget", evidence(lambda _: answer(), forget=some(2)))
    assert (none.value, none.low, none.high, none.n, none.per_record) == (None, None, None, 0, {})


def test_the_definition_of_the_truth_ratio_is_one_of_two() -> None:
    assert TruthRatio().definition == "geometric"
    with pytest.raises(InputError, match="definition"):
        build("metric", "truthratio", {"definition": "median"})


def test_a_share_of_choices_that_are_all_impossible_is_undefined() -> None:
    inf = float("inf")
    assert share_of_choices(inf, [inf, 1.0]) is None
    assert share_of_choices(inf, [1.0]) == 0.0
    assert share_of_choices(1.0, [inf]) == 1.0
    assert share_of_choices(1.0, [1.0, inf]) == pytest.approx(0.5)
