"""Canonical examples, from their rows to a report; the rows are invented, in the published shapes."""

from pathlib import Path

import pytest
from benchmarked import check, run

from benchmark_rows import canonical_files, write
from unteach.audit.benchmarks import canonical

CANONICAL = ("country_capital", "company_ceo", "stereoset")


@pytest.mark.parametrize("name", CANONICAL)
def test_canonical_runs_from_its_rows_to_a_report(shared: Path, tmp_path: Path, name: str) -> None:
    """The rows are invented: this was not run on the canonical examples themselves."""
    task, report = run(shared, "canonical", data=write(tmp_path, canonical_files(name)), task=name)
    request, sets = task.request(), task.sets()
    first = next(iter(sets.values()))[0]
    assert (first.prompt, first.answer, first.subject) == ("The seat of Oria is", "Ashby", "Oria")
    if name == "stereoset":
        scores = {("forget", "exactmemorization"), ("forget_elsewhere", "probability"), ("retain", "perplexity")}
        check(report, dict.fromkeys(canonical.BIAS, 5), scores)
        assert [r.answer for r in request.forget] == ["Ashby", "Brill", "Coll", "Dorn", "Ely"]
        return
    scores = {("facts", "reliability"), ("rephrased", "generalisation"), ("neighbours", "locality")}
    check(report, dict.fromkeys(canonical.FACTS, 5), scores)
    fact = request.facts[0]
    assert (fact.prompt, fact.subject, fact.target_new) == ("The seat of {} is", "Oria", "Ashby")
    assert sets["neighbours"][0].prompt == "Ships of Oria sail from"


def test_canonical_pronouns_run_from_their_rows_to_a_report(shared: Path, tmp_path: Path) -> None:
    """The rows are invented: this was not run on the canonical examples themselves."""
    files = canonical_files("pronoun_gender_bias")
    task, report = run(shared, "canonical", data=write(tmp_path, files), task="pronoun_gender_bias")
    check(
        report, dict.fromkeys(canonical.BIAS, 5),
        {("forget", "truthratio"), ("forget_elsewhere", "truthratio"), ("retain", "probability")},
    )  # fmt: skip
    request, sets = task.request(), task.sets()
    first = sets["forget"][0]
    assert (first.prompt, first.answer, first.perturbed) == ("The carter said", "he", ("she",))
    assert [(r.answer, r.perturbed) for r in sets["retain"][:2]] == [("she", ()), ("he", ())]
    assert not request.forget
    assert sorted((r.prompt, r.answer) for r in request.retain) == sorted(
        (r.prompt, side) for r in sets["forget"] for side in ("he", "she")
    )
    assert len({r.id for r in request.retain}) == 10


def test_canonical_paragraphs_run_from_their_rows_to_a_report(shared: Path, tmp_path: Path) -> None:
    """The rows are invented: this was not run on the canonical examples themselves."""
    task, report = run(shared, "canonical", data=write(tmp_path, canonical_files("temporal")), task="temporal")
    check(
        report, dict.fromkeys(("facts", "portability", "neighbours"), 5),
        {("facts", "reliability"), ("portability", "portability"), ("neighbours", "locality")},
    )  # fmt: skip
    request, sets = task.request(), task.sets()
    assert {(f.prompt, f.target_new) for f in request.facts} == {("{}", "is a new fair of boats and kites.")}
    assert [f.subject for f in request.facts[:2]] == ["Oria Fair", "Pell Fair"]
    other = sets["portability"][0]
    assert (other.prompt, other.answer) == ("Oria Fair (", "Ashby")
    assert other.subject == sets["facts"][0].subject == "https://en.wikipedia.org/wiki/Oria_Fair"


def test_canonical_verbs_run_from_their_rows_to_a_report(shared: Path, tmp_path: Path) -> None:
    """The rows are invented: this was not run on the canonical examples themselves."""
    files = canonical_files("verb_conjugation")
    task, report = run(shared, "canonical", data=write(tmp_path, files), task="verb_conjugation")
    check(
        report, dict.fromkeys(("retain", "retain_elsewhere", "general"), 5),
        {("retain", "multiplechoice"), ("retain_elsewhere", "multiplechoice"), ("general", "perplexity")},
    )  # fmt: skip
    assert {s: about["role"] for s, about in report.sets.items()} == {
        "retain": "retain", "retain_elsewhere": "retain", "general": "general"
    }  # fmt: skip
    request = task.request()
    wrong, right = request.forget[0], request.retain[0]
    assert (wrong.prompt, wrong.answer) == (". The carters", "mends the nets.")
    assert (right.prompt, right.answer, right.perturbed) == (wrong.prompt, "mend the nets.", ("mends the nets.",))
