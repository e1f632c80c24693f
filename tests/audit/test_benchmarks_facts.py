"""Benchmarks of facts, from their rows to a report. MQuAKE's and RippleEdits' rows are invented, in the published shapes."""

import json
from pathlib import Path
from typing import Any

import pytest
from tofu_models import opened

from benchmark_rows import NEW, OLD, PEOPLE, chain, ripple
from unteach.audit.audit import audit
from unteach.audit.suite import Suite
from unteach.edit.edit import Edit
from unteach.edit.patches import Add
from unteach.lm.anatomy import anatomy
from unteach.registry import build
from unteach.schema import InputError, Report


def short(suite: Suite) -> Suite:
    """The same metrics on answers of at most eight tokens."""
    return Suite(suite.metrics, max_new=8)


def run(shared: Path, name: str, **options: Any) -> tuple[Any, Report]:
    """The benchmark, and the report on a model with little damage beside the model as it was."""
    task = build("benchmark", name, options)
    lm, worn = opened(shared, "tiny_tofu_llama"), opened(shared, "tiny_tofu_llama")
    weight = f"{anatomy(lm.model).norm}.weight"
    noise = 0.1 * lm.parameters()[weight].detach().flip(0)
    edit = Edit(base=worn.digest(), weights={weight: (Add(noise),)})
    report = audit(
        {"original": lm, "edited": lambda: edit.on(worn)}, task.sets(), roles=task.roles, suite=short(task.suite)
    )
    return task, report


def measured(report: Report) -> set[tuple[str, str]]:
    return {(r.set, r.score.name) for r in report.scores if r.model == "edited" and r.score.value is not None}


def check(report: Report, sets: dict[str, int], expected: set[tuple[str, str]]) -> None:
    assert {name: about["n"] for name, about in report.sets.items()} == sets
    assert measured(report) >= expected
    for row in report.scores:
        if row.score.value is not None:
            assert 0 <= row.score.value <= 1 or row.score.name == "ngramentropy"
            assert row.score.direction == "up"


def test_zsre_runs_from_its_rows_to_a_report(shared: Path) -> None:
    task, report = run(shared, "zsre", data=str(shared / "data" / "zsre"), rows=5)
    check(
        report, {"facts": 5, "rephrased": 5, "neighbours": 5},
        {("facts", "reliability"), ("rephrased", "generalisation"), ("neighbours", "locality")},
    )  # fmt: skip
    fact = task.request().facts[0]
    assert (fact.subject, fact.target_new, fact.ground_truth) == ("UniFirst", "unmanned aircraft", "uniform")
    assert task.sets()["facts"][0].prompt == "What is the product made by UniFirst?"
    assert len(build("benchmark", "zsre", {"data": str(shared / "data" / "zsre")}).request().facts) == 998  # of 1000


@pytest.mark.parametrize(("file", "n"), [("", (5, 10, 50)), ("counterfact_flat_val.json", (5, 5, 5))])
def test_counterfact_runs_from_its_rows_to_a_report(shared: Path, file: str, n: tuple[int, ...]) -> None:
    data = str(shared / "data" / "counterfact" / file)
    task, report = run(shared, "counterfact", data=data, rows=5)
    scores = {
        ("facts", "romescore"),
        ("facts", "reliability"),
        ("rephrased", "generalisation"),
        ("neighbours", "locality"),
    }
    check(report, dict(zip(("facts", "rephrased", "neighbours"), n, strict=True)), scores)
    for row in task.sets()["neighbours"]:
        assert row.perturbed  # the new answer is the wrong one there
        assert row.answer not in row.perturbed
    assert task.request().scope == "fact"


def test_knowedit_runs_from_its_rows_to_a_report(shared: Path) -> None:
    task, report = run(shared, "knowedit", data=str(shared / "data" / "knowedit"), rows=5)
    sets = {name: len(rows) for name, rows in task.sets().items()}
    portability = {s: n for s, n in sets.items() if s.startswith("portability_")}
    assert (sum(portability.values()), sets["neighbours_relation_specificity"]) == (5, 10)
    check(
        report, sets,
        {("facts", "reliability"), ("rephrased", "generalisation"), ("neighbours_relation_specificity", "locality")}
        | {(s, "portability") for s in portability},
    )  # fmt: skip
    whole = build("benchmark", "knowedit", {"data": str(shared / "data" / "knowedit")}).sets()
    assert {s: len(rows) for s, rows in whole.items() if s.startswith("portability")} == {
        "portability_reasoning": 557, "portability_subject_aliasing": 256, "portability_logical_generalization": 255
    }  # fmt: skip


def test_mquake_runs_from_its_rows_to_a_report(shared: Path, tmp_path: Path) -> None:
    rows = [chain(i) for i in range(5)]
    rows[1]["requested_rewrite"].append(rows[0]["requested_rewrite"][0])  # chains share facts
    rows[4]["new_single_hops"][0] = rows[0]["new_single_hops"][0] | {
        "answer": "another",
        "answer_alias": [],
    }  # what one keeps
    file = tmp_path / "MQuAKE-CF-3k.json"
    file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    task, report = run(shared, "mquake", data=str(tmp_path))
    assert [f.subject for f in task.request().facts] == list(PEOPLE)
    check(
        report, {"facts": 5, "rephrased": 5, "multihop": 10, "hops": 19, "kept": 6},
        {("facts", "reliability"), ("rephrased", "generalisation")} | {(s, "multihop") for s in ("multihop", "hops", "kept")},
    )  # fmt: skip
    sets = task.sets()
    asked = sets["multihop"][0]
    assert (asked.prompt, asked.paraphrases) == ("Q1 of Friend 0", ("Q2 of Friend 0", "Q3 of Friend 0"))
    assert [r.answer for r in sets["multihop"][:2]] == ["N'Djamena", "N'Djamena City"]
    assert {r.prompt for r in sets["kept"]} == {f"Who is the friend of Friend {i}?" for i in (1, 2, 3)}
    counts = {r.set: r.score.n for r in report.scores if (r.model, r.score.name) == ("edited", "multihop")}
    assert counts == {"multihop": 5, "hops": 15, "kept": 3}
    assert len(build("benchmark", "mquake", {"data": str(file), "rows": 2}).sets()["facts"]) == 2


def test_rippleedits_runs_from_its_rows_to_a_report(shared: Path, tmp_path: Path) -> None:
    rows = [ripple(i, "previous_fact" if i == 1 else "original_fact") for i in range(5)]
    same = ripple(0)
    same["edit"]["prompt"] = same["edit"]["original_fact"]["prompt"]  # changes nothing
    (tmp_path / "popular.json").write_text(json.dumps([same, *rows]), encoding="utf-8")
    task, report = run(shared, "rippleedits", data=str(tmp_path))
    facts = task.request().facts
    assert [(f.target_new, f.ground_truth) for f in facts] == list(zip(NEW, OLD, strict=True))
    assert [f.subject for f in facts] == [p.removeprefix("The ") for p in PEOPLE]
    assert {f.prompt for f in facts[:4]} == {"The name of the country of citizenship of {} is"}
    sets = {
        "facts": 5, "logical_generalization": 10, "compositionality_i": 10, "subject_aliasing": 10,
        "relation_specificity": 30, "forgetfulness": 10,
    }  # fmt: skip
    check(report, sets, {("facts", "reliability")} | {(s, "multihop") for s in sets if s != "facts"})
    counts = {r.set: r.score.n for r in report.scores if (r.model, r.score.name) == ("edited", "multihop")}
    assert counts["relation_specificity"] == 15  # each of two answers counts by itself, its spellings do not
    assert {report.sets[s]["role"] for s in ("relation_specificity", "forgetfulness")} == {"neighbours"}


def test_a_row_of_another_shape_is_refused_with_its_number_and_without_its_text(tmp_path: Path) -> None:
    broken = [
        ("mquake", chain(0) | {"questions": []}, 'row 2: "questions" is missing or empty'),
        ("mquake", chain(0) | {"new_single_hops": ["Orla Finch"]}, 'row 2: "new_single_hops" is no list of questions'),
        ("rippleedits", {"edit": {"prompt": "Orla Finch"}}, "row 2: the edit does not say what it replaces"),
        ("rippleedits", ripple(0) | {"Relation_Specificity": []}, ""),
        (
            "rippleedits",
            ripple(0) | {"Relation_Specificity": [], "Compositionality_I": []},
            "row 2: the subject cannot be told",
        ),
        ("rippleedits", ripple(0) | {"Forgetfulness": ["Orla Finch"]}, 'row 2: "Forgetfulness" is no list of objects'),
    ]
    for name, row, expected in broken:
        file = tmp_path / "rows.json"
        file.write_text(json.dumps([chain(1) if name == "mquake" else ripple(1), row]), encoding="utf-8")
        task = build("benchmark", name, {"data": str(file)})
        if not expected:
            assert len(task.sets()["facts"]) == 2
            continue
        with pytest.raises(InputError, match=expected) as refused:
            task.sets()
        assert "Orla" not in str(refused.value)


@pytest.mark.parametrize("name", ["zsre", "counterfact", "knowedit", "mquake", "rippleedits"])
def test_a_folder_without_its_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    task = build("benchmark", name, {"data": str(tmp_path)})
    with pytest.raises(InputError, match=r"the folder holds no .*\.json; name the file itself"):
        task.request()
