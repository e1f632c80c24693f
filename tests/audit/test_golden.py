"""Agreement with what open-unlearning and the authors of TOFU measured, and where they are wrong, both numbers."""

import json
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from tofu_models import MergingEncoder, spoil

from unteach.audit.aggregate import indistinct, log_truth_ratio, model_utility, share_of_choices, truthful
from unteach.audit.evidence import Evidence
from unteach.audit.rouge import rouge_1, rouge_l
from unteach.audit.statistics import ks
from unteach.lm.model import LM
from unteach.measure import answers as measure
from unteach.registry import build
from unteach.schema import Record, Score

STEM = RougeScorer(["rougeL"], use_stemmer=True)._tokenizer._stemmer.stem
MODELS = ("original", "retrained", "perturbed05")
PREFIX = {"forget": "forget", "retain": "retain", "real_authors": "ra", "world_facts": "wf"}
NEAR = {"rel": 1e-4, "abs": 1e-6}
ROUNDING = 6e-6  # of their losses below 0.01, see test_losses_near_zero_are_truer_here


def near(model: str) -> dict[str, float]:
    return NEAR | {"abs": ROUNDING} if model == "original" else NEAR


def items(part: dict[str, Any], field: str = "score") -> list[Any]:
    table = part["value_by_index"]
    return [table[str(i)][field] for i in range(len(table))]


def scored(name: str, on: str, evidence: Evidence, **options: Any) -> Score:
    return build("metric", name, options)(evidence, on)


@pytest.mark.parametrize("model", MODELS)
def test_every_loss_and_probability_of_every_row(model: str, asked: dict[str, Evidence], logs: dict[str, Any]) -> None:
    log, evidence = logs[model], asked[model]
    for ours, theirs in PREFIX.items():
        if ours not in evidence.sets:
            continue
        part = log[f"{theirs}_Q_A_Prob"]
        losses = [measure.loss(a) for a in evidence.answers(ours)]
        assert losses == pytest.approx(items(part, "avg_loss"), **near(model))
        found = scored("probability", ours, evidence)
        assert list(found.per_record.values()) == pytest.approx(items(part, "prob"), **NEAR)
        assert found.value == pytest.approx(part["agg_value"], **NEAR)
        wrong = [[measure.loss(a) for a in row] for row in evidence.perturbed(ours)]
        theirs_wrong = items(log[f"{theirs}_Q_A_PERT_Prob"], "avg_loss")
        assert np.array(wrong) == pytest.approx(np.array(theirs_wrong), **NEAR)
        if ours in ("forget", "retain"):
            restated = [measure.loss(a) for a in evidence.restated(ours)]
            assert restated == pytest.approx(items(log[f"{theirs}_Q_A_PARA_Prob"], "avg_loss"), **NEAR)
        else:
            shares = [
                share_of_choices(measure.loss(own), [measure.loss(a) for a in others])
                for own, *others in evidence.choices(ours)
            ]
            assert shares == pytest.approx(items(log[f"{theirs}_Q_A_Prob_normalised"], "prob"), **NEAR)


@pytest.mark.parametrize("model", MODELS)
def test_every_truth_ratio(model: str, asked: dict[str, Evidence], logs: dict[str, Any]) -> None:
    log, evidence = logs[model], asked[model]
    for ours, theirs in PREFIX.items():
        if ours not in evidence.sets:
            continue
        part = log["forget_truth_ratio" if ours == "forget" else f"{theirs}_Truth_Ratio"]
        found = scored("truthratio", ours, evidence)
        assert found.value == pytest.approx(part["agg_value"], **NEAR)
        assert list(found.per_record.values()) == pytest.approx(items(part), **NEAR)


def test_adding_a_constant_to_a_probability_halves_a_ratio_of_small_ones() -> None:
    """They compute wrong / (right + 1e-10): two equally unlikely answers are then no longer equal."""
    small = -np.log(1e-10)
    assert np.exp(log_truth_ratio(small, [small])) == pytest.approx(1.0)
    assert np.exp(-small) / (np.exp(-small) + 1e-10) == pytest.approx(0.5)


def test_losses_near_zero_are_truer_here(full: LM, sets: dict[str, list[Record]], logs: dict[str, Any]) -> None:
    """Their softmax runs over a transposed layout, where a sum of 1 + thousands of tiny terms loses the terms."""
    full.encoder = MergingEncoder(full.tokenizer, full.template, full.max_length)
    rows = sets["forget"][:10]
    ours = np.array([measure.loss(a) for a in measure.ask(full, rows)])
    theirs = np.array(items(logs["original"]["forget_Q_A_Prob"], "avg_loss")[:10])
    full.model.double()
    batch = full.batch(rows)
    logps = full.logits(batch).detach().log_softmax(-1).gather(1, batch.targets[:, None])[:, 0].numpy()
    exact = np.array([-logps[a:b].mean() for a, b in pairwise(batch.offsets)])
    assert np.abs(ours - exact).max() < 5e-7
    assert 1.5e-6 < np.abs(theirs - exact).max() < ROUNDING


@pytest.mark.parametrize("model", MODELS)
def test_exact_memorisation_and_min_k_of_every_row(
    model: str, asked: dict[str, Evidence], logs: dict[str, Any]
) -> None:
    log, evidence = logs[model], asked[model]
    memorised = scored("exactmemorization", "forget", evidence)
    assert list(memorised.per_record.values()) == pytest.approx(items(log["exact_memorization"]), **NEAR)
    for name, ours, options in (("mia_loss", "mialoss", {}), ("mia_min_k", "miamink", {"k": 0.4})):
        found = scored(ours, "forget", evidence, **options)
        for part in ("forget", "holdout"):
            values = [v for label, v in found.per_record.items() if label.startswith(part)]
            assert values == pytest.approx(items(log[name][part]), **near(model))
        assert found.value == pytest.approx(log[name]["auc"], **NEAR)


@pytest.mark.parametrize("model", MODELS)
def test_extraction_strength_falls_to_zero_where_theirs_stops_at_one_token(
    model: str, asked: dict[str, Evidence], logs: dict[str, Any]
) -> None:
    """Their loop over the number k of given tokens ends at n - 1, so completing nothing scores 1/n, not 0."""
    ours = list(scored("extractionstrength", "forget", asked[model]).per_record.values())
    lengths = [len(a.words.hit) for a in asked[model].answers("forget")]
    floored = [max(value, 1 / n) for value, n in zip(ours, lengths, strict=True)]
    assert floored == pytest.approx(items(logs[model]["extraction_strength"]), **NEAR)
    if model == "retrained":
        assert mean(ours) == pytest.approx(0.00722, abs=1e-5)
        assert logs[model]["extraction_strength"]["agg_value"] == pytest.approx(0.03100, abs=1e-5)
        assert min(ours) == 0.0


@pytest.mark.parametrize("model", ["original", "perturbed05"])
def test_forget_quality(model: str, asked: dict[str, Evidence], logs: dict[str, Any], golden: Path) -> None:
    theirs = logs[model]["forget_quality"]["agg_value"]
    assert scored("forgetquality", "forget", asked[model]).value == pytest.approx(theirs, **NEAR)
    logged = scored("forgetquality", "forget", asked[model], retain_logs=str(golden / "eval_tofu_retain.json"))
    assert logged.value == pytest.approx(theirs, **NEAR)


@pytest.mark.parametrize("model", MODELS)
def test_rouge_of_every_logged_generation(model: str, logs: dict[str, Any]) -> None:
    counted = 0
    for name, part in logs[model].items():
        for item in part["value_by_index"].values() if name.endswith("_ROUGE") else ():
            gold, text = item["ground_truth"], item["generation"]
            if (gold + text).isascii():
                found = rouge_l(gold, text, stem=STEM)
                assert found.recall == pytest.approx(item["rougeL_recall"], abs=1e-12)
                assert found.f1 == pytest.approx(item["rougeL_f1"], abs=1e-12)
                assert rouge_1(gold, text, stem=STEM).recall == pytest.approx(item["rouge1_recall"], abs=1e-12)
                counted += 1
    assert counted > 170


def test_generations_and_their_rouge_up_to_stemming(written: Evidence, logs: dict[str, Any]) -> None:
    log = logs["perturbed05"]["forget_Q_A_ROUGE"]
    assert [t.strip() for t in written.generated("forget")] == [t.strip() for t in items(log, "generation")]
    assert scored("rougel", "forget", written).value == pytest.approx(0.182359, abs=1e-6)
    assert log["agg_value"] == pytest.approx(0.184482, abs=1e-6)  # the difference is the stemmer
    stemmed = [
        rouge_l(r.answer, text, stem=STEM).recall
        for r, text in zip(written.sets["forget"], written.generated("forget"), strict=True)
    ]
    assert mean(stemmed) == pytest.approx(log["agg_value"], abs=1e-12)


def test_model_utility(asked: dict[str, Evidence], logs: dict[str, Any]) -> None:
    log = logs["perturbed05"]
    found = scored("modelutility", "retain", asked["perturbed05"])
    assert found.value == pytest.approx(0.112286, abs=1e-6)
    assert log["model_utility"]["agg_value"] == pytest.approx(0.112377, abs=1e-6)  # again the stemmer:
    terms = {
        ours: {
            "probability": log[f"{theirs}_Q_A_Prob" + ("" if ours == "retain" else "_normalised")]["agg_value"],
            "rougel": log[f"{theirs}_Q_A_ROUGE"]["agg_value"],
            "truthratio": log[f"{theirs}_Truth_Ratio"]["agg_value"],
        }
        for ours, theirs in PREFIX.items()
        if ours != "forget"
    }
    assert model_utility(terms) == pytest.approx(log["model_utility"]["agg_value"], abs=1e-12)
    stemless = {s: of | {"rougel": scored("rougel", s, asked["perturbed05"]).value} for s, of in terms.items()}
    assert model_utility(stemless) == pytest.approx(found.value, **NEAR)


def test_a_token_across_the_border_is_measured_here_and_skipped_there(
    full: LM, sets: dict[str, list[Record]], logs: dict[str, Any]
) -> None:
    """Where an answer begins with a quote, the tokenizer merges it with the bracket before it.

    They take the merged token as part of the prompt and so never measure the quote; a model that answers by
    itself never meets that token.
    """
    perturbed = spoil(full, sigma=0.05, seed=1)
    theirs = MergingEncoder(perturbed.tokenizer, perturbed.template, perturbed.max_length)
    moved = [i for i, r in enumerate(sets["forget"]) if perturbed.encoder.row(r) != theirs.row(r)]
    assert moved == [26, 35]
    rows = [sets["forget"][i] for i in moved]
    assert all(r.answer.startswith("'") for r in rows)
    ours = [measure.loss(a) for a in measure.ask(perturbed, rows)]
    logged = [items(logs["perturbed05"]["forget_Q_A_Prob"], "avg_loss")[i] for i in moved]
    assert ours == pytest.approx([4.6032, 4.3122], abs=1e-3)
    assert logged == pytest.approx([3.5708, 3.7205], abs=1e-3)


# The authors' own logs of Llama-2-7B

AUTHORS = {"retain": "eval_log", "real_authors": "eval_real_author_wo_options", "world_facts": "eval_real_world_wo_options",
           "forget": "eval_log_forget"}  # fmt: skip
PUBLISHED = {
    ("full", "arithmetic"): ((0.453867, 0.50516, 0.423055, 0.53037), 0.585886),
    ("full", "geometric"): ((0.474699, 0.596229, 0.539033, 0.515985), 0.622677),
    ("retain90", "arithmetic"): ((0.449594, 0.47851, 0.420057, 0.679652), 0.575240),
    ("retain90", "geometric"): ((0.470977, 0.570681, 0.544198, 0.674019), 0.613745),
}
KNOWN = {
    "full": ((0.989527, 0.455482, 0.418562, 0.990939), (0.985655, 0.933, 0.882479, 0.98545)),
    "retain90": ((0.988897, 0.434087, 0.414326, 0.147563), (0.975811, 0.923, 0.897436, 0.408244)),
}


@pytest.fixture(scope="module")
def authors(shared: Path) -> dict[str, Any]:
    folder = shared / "data" / "tofu_golden_logs"
    pattern = "ft_epoch5_lr1e-05_llama2-7b_{}_wd0.01.eval_log_aggregated.json"
    return {m: json.loads((folder / pattern.format(m)).read_text(encoding="utf-8")) for m in KNOWN}


def of_rows(part: dict[str, Any], definition: str) -> tuple[list[float], list[float], list[float]]:
    """Probabilities, shares of the choices and ln R of each row."""
    probabilities, shares, ratios = [], [], []
    for i, lost in part["avg_gt_loss"].items():
        wrong = part["average_perturb_loss"][i]
        probabilities.append(np.exp(-lost))
        shares.append(share_of_choices(lost, wrong))
        ratios.append(log_truth_ratio(part["avg_paraphrased_loss"][i], wrong, definition))
    return probabilities, shares, ratios


@pytest.mark.parametrize(("model", "definition"), list(PUBLISHED))
def test_the_authors_logs_give_their_aggregates(model: str, definition: str, authors: dict[str, Any]) -> None:
    (truth, utility), (probability, rouge) = PUBLISHED[model, definition], KNOWN[model]
    terms: dict[str, dict[str, float | None]] = {}
    for i, (ours, theirs) in enumerate(AUTHORS.items()):
        part = authors[model][f"{theirs}.json"]
        plain, shares, ratios = of_rows(part, definition)
        term = indistinct if ours == "forget" else truthful
        terms[ours] = {
            "probability": mean(plain if ours in ("retain", "forget") else shares),
            "rougel": mean(part["rougeL_recall"].values()),
            "truthratio": mean(map(term, ratios)),
        }
        assert terms[ours]["probability"] == pytest.approx(probability[i], abs=1e-6)
        assert terms[ours]["rougel"] == pytest.approx(rouge[i], abs=1e-6)
        assert terms[ours]["truthratio"] == pytest.approx(truth[i], abs=1e-6)
    terms.pop("forget")
    assert model_utility(terms) == pytest.approx(utility, abs=1e-6)


@pytest.mark.parametrize(("definition", "d", "p"), [("arithmetic", 0.41, 6.03e-23), ("geometric", 0.396667, 1.83e-21)])
def test_the_authors_logs_give_the_statistic_between_their_models(
    definition: str, d: float, p: float, authors: dict[str, Any]
) -> None:
    logged = {m: of_rows(authors[m]["eval_log_forget.json"], definition)[2] for m in KNOWN}
    found = ks(logged["full"], logged["retain90"])
    assert found.d == pytest.approx(d, abs=1e-6)
    assert found.p == pytest.approx(p, rel=5e-3)
    turned = ks(*([-r for r in values] for values in logged.values()))
    assert (turned.d, turned.p) == (pytest.approx(found.d), pytest.approx(found.p))
    folded = ks(*([-abs(r) for r in values] for values in logged.values()))
    assert folded.d != pytest.approx(found.d)  # min(R, 1/R) is another quantity


def test_the_truth_ratio_of_the_authors_is_the_geometric_one(authors: dict[str, Any]) -> None:
    part = authors["full"]["eval_log_forget.json"]
    logged = np.array(list(part["truth_ratio"].values()))
    for definition in ("geometric", "arithmetic"):
        worst = np.abs(np.exp(of_rows(part, definition)[2]) / logged - 1).max()
        assert (worst < 1e-4) == (definition == "geometric")
