"""Their evaluation file in and out, and refused where it is not one."""

import json
from math import exp
from pathlib import Path
from typing import Any

import pytest

from unteach.audit.openunlearning import export, read, retain_log_ratios
from unteach.schema import InputError, Report


def test_their_scores_come_in_under_our_names(golden: Path, logs: dict[str, Any]) -> None:
    rows = read(golden / "eval_tofu_perturbed05.json", "perturbed")
    log = logs["perturbed05"]
    found = {(r.set, r.score.name): r.score for r in rows}
    assert len(found) == len(rows) == 23
    assert {r.model for r in rows} == {"perturbed"}
    for place, name in (
        (("forget", "probability"), "forget_Q_A_Prob"),
        (("real_authors", "rougel"), "ra_Q_A_ROUGE"),
        (("world_facts", "truthratio"), "wf_Truth_Ratio"),
        (("forget", "truthratio"), "forget_truth_ratio"),
        (("forget", "extractionstrength"), "extraction_strength"),
        (("forget", "forgetquality"), "forget_quality"),
        (("retain", "modelutility"), "model_utility"),
        (("forget", "mialoss"), "mia_loss"),
        (("forget", "miazlib"), "mia_zlib"),
        (("forget", "miaminkpp"), "mia_min_k_plus_plus"),
        (("forget", "miareference"), "mia_reference"),
        (("forget", "miagradnorm"), "mia_gradnorm"),
        (("forget", "privleak"), "privleak"),
    ):
        assert found[place].value == log[name]["agg_value"]
    assert (
        found["forget", "probability"].per_record["forget/0007"]
        == log["forget_Q_A_Prob"]["value_by_index"]["7"]["prob"]
    )
    assert (
        found["forget", "mialoss"].per_record["holdout/0039"]
        == log["mia_loss"]["holdout"]["value_by_index"]["39"]["score"]
    )
    assert found["forget", "mialoss"].n == 80
    assert found["forget", "privleak"].direction == "zero"
    texts = [item["generation"] for item in log["forget_Q_A_ROUGE"]["value_by_index"].values()]
    assert not any(text in repr(rows) for text in texts if len(text) > 8)


def test_the_truth_ratios_of_a_retrained_model_come_in_as_logarithms(golden: Path, logs: dict[str, Any]) -> None:
    found = retain_log_ratios(golden / "eval_tofu_retain.json")
    theirs = [logs["retrained"]["forget_truth_ratio"]["value_by_index"][str(i)]["score"] for i in range(40)]
    assert [exp(r) for r in found] == pytest.approx(theirs)


def test_what_goes_out_comes_back(golden: Path, tmp_path: Path) -> None:
    rows = read(golden / "eval_tofu_full.json", "full")
    report = Report("x", {"full": {"role": "original"}}, {}, {}, rows)
    made = export(report, "full")
    place = tmp_path / "TOFU_EVAL.json"
    place.write_text(json.dumps(made, allow_nan=False), encoding="utf-8")
    assert read(place, "full") == rows
    theirs = json.loads((golden / "eval_tofu_full.json").read_text(encoding="utf-8"))
    for name, part in made.items():
        assert part["agg_value"] == theirs[name]["agg_value"]
        for index, item in part.get("value_by_index", {}).items():
            ((field, value),) = item.items()
            assert theirs[name]["value_by_index"][index][field] == value
    assert retain_log_ratios(place) == retain_log_ratios(golden / "eval_tofu_full.json")


def test_sets_may_have_other_names(golden: Path) -> None:
    names = {"gone": "forget", "kept": "retain"}
    rows = read(golden / "eval_tofu_full.json", "full", sets=names)
    assert {r.set for r in rows} == {"gone", "kept"}
    made = export(Report("x", {}, {}, {}, rows), "full", sets=names)
    assert "mia_loss" in made
    assert made["forget_Q_A_Prob"]["value_by_index"]["3"]["prob"] == pytest.approx(0.9954, abs=1e-3)


def test_a_model_without_scores_cannot_go_out() -> None:
    with pytest.raises(InputError, match="no scores of a model 'b'; it has a"):
        export(Report("x", {"a": {}}, {}, {}, ()), "b")


SECRET = "the secret of the row"
GOOD = {"0": {"score": 0.5}}


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "[" * 100_000, '"text"', b"\xff\xfe{}",
        {}, {"forget_truth_ratio": []}, {"forget_truth_ratio": {"value_by_index": [1]}},
        {"forget_truth_ratio": {"value_by_index": {SECRET: {"score": 1.0}}}},
        {"forget_truth_ratio": {"value_by_index": {"0": {"score": SECRET}}}},
        {"forget_truth_ratio": {"value_by_index": {"0": {"score": True}}}},
        {"forget_truth_ratio": {"value_by_index": {"²": {"score": 1.0}}}},
        '{"forget_truth_ratio": {"value_by_index": {"0": {"score": NaN}}}}',
        '{"forget_truth_ratio": {"value_by_index": {"0": {"score": 1e999}}}}',
        {"forget_truth_ratio": {"value_by_index": {"0": {"score": -1.0}}}},
    ],
)  # fmt: skip
def test_a_file_that_is_none_of_theirs_is_refused_without_repeating_it(content: Any, tmp_path: Path) -> None:
    place = tmp_path / "log.json"
    if isinstance(content, bytes):
        place.write_bytes(content)
    else:
        place.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        retain_log_ratios(place)
    assert str(place) in str(refused.value)
    assert SECRET not in str(refused.value)


def test_an_aggregate_must_be_a_number(tmp_path: Path) -> None:
    place = tmp_path / "log.json"
    place.write_text(json.dumps({"model_utility": {"agg_value": SECRET}}), encoding="utf-8")
    with pytest.raises(InputError, match="agg_value of modelutility is not a number") as refused:
        read(place, "m")
    assert SECRET not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json: cannot be read"):
        retain_log_ratios(tmp_path / "gone.json")
