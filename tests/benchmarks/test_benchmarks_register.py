"""ROME and MEMIT reach what the reference reaches, on models of three shapes that know the town as a register."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.register import (
    CORRECTED,
    FORMS,
    SCHOOL,
    SHAPES,
    TAUGHT,
    corrections,
    held_out,
    lessons,
    register,
    taught,
)
from benchmarks.registered import COLUMNS, GOALS, OTHER_TOWNS, TOWN, TRIED_ON, WAYS, known, run, tried

from unteach.audit.benchmarks.town import PERSONAL, Town

SMALL = replace(SCHOOL, epochs=24, batch_size=32)


def test_the_register_says_what_the_town_says() -> None:
    town = Town(people=12, leaving=4)
    found = register(town)
    rows = [*town.sets()["forget"], *town.sets()["retain"]]
    told = {(r.subject, r.id.split("/")[1]): r.answer for r in rows}
    assert {k: PERSONAL[k[1]].answer.format(e.person, e.value) for k, e in found.items()} == told
    assert all(form.endswith("{}") for forms in FORMS.values() for form in forms)
    assert len(lessons(found)) == TAUGHT * len(held_out(found)) == TAUGHT * 12 * len(FORMS)
    assert not {r.prompt for r in lessons(found)} & {r.prompt for r in held_out(found)}


def test_new_trades_are_others_trades_and_what_lies_beside_them_is_not_corrected() -> None:
    found = register(Town())
    facts = corrections(found)
    corrected = {f.subject for f in facts}
    assert len(corrected) == len(facts) == CORRECTED
    for fact in facts:
        assert fact.target_new != fact.ground_truth == found[fact.subject, "trade"].value
        assert fact.target_new in {e.value for (p, kind), e in found.items() if kind == "trade" and p not in corrected}
        others = [p for p in fact.locality if p.kind == "others"]
        assert not any(person in probe.prompt for probe in others for person in corrected)
        assert len(fact.rephrasings) == len(FORMS["trade"]) - 1


@pytest.mark.parametrize("shape", ["llama", *(pytest.param(s, marks=pytest.mark.slow) for s in SHAPES if s != "llama")])
def test_facts_of_a_small_town_are_corrected_in_every_shape(shape: str, tmp_path: Path) -> None:
    found = register(Town(people=8, leaving=2))
    lm = taught(shape, found, tmp_path / shape, SMALL)
    assert known(lm, lessons(found)) > 0.98  # else there is little to correct
    facts = corrections(found, 2)
    for way in WAYS:
        columns = tried(lm, way, facts, lessons(found))
        assert columns["reliability"].value == columns["written"].value == 1.0, way
        assert columns["others"].value >= 0.8, way


def test_the_page_shows_one_town_and_the_range_of_the_others(tmp_path: Path) -> None:
    for n, seed in enumerate((TOWN, *OTHER_TOWNS)):
        mean = {"value": 1 - n / 10, "low": None, "high": None, "n": 10}
        told = {
            "known": {"taught": 1.0, "held_out": 1 - n / 100},
            "ways": {w: dict.fromkeys(COLUMNS, mean) for w in WAYS},
        }
        (tmp_path / f"llama-{seed}.json").write_text(json.dumps(told))
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- register -->\n<!-- /register -->\nbehind\n")
    run(["llama"], tmp_path, page, tmp_path / "results")
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "behind")
    assert [line for line in lines if line.startswith("| llama | rome, each alone")] == [
        "| llama | rome, each alone | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 0.95, 1.00, 1.00, 0.75 | yes |"
    ]
    ranges = [line for line in lines if line.startswith("| llama | 0.960 – 0.990 |")]
    assert ranges == [f"| llama | 0.960 – 0.990 | {way} |{' 0.60 – 0.90 |' * len(COLUMNS)}" for way in WAYS]
    assert any("forms held out, 0.960, is of the llama shape; it takes up 0.60 of" in line for line in lines)
    assert list(json.loads((tmp_path / "results" / "register.json").read_text())["towns"]) == list("01234")


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_ten_people_of_the_town_are_corrected_as_well_as_by_the_reference(shape: str, tmp_path: Path) -> None:
    found = register(Town())
    lm = taught(shape, found, tmp_path / shape)
    assert known(lm, held_out(found)) > 0.95
    facts = corrections(found, first=TRIED_ON)
    for way in ("rome, each alone", "memit, all at once"):
        columns = tried(lm, way, facts, lessons(found))
        least, *theirs = GOALS[way.partition(",")[0]][shape]
        assert columns["reliability"].n == CORRECTED
        assert columns["reliability"].value >= least, way
        assert columns["written"].value >= least, way
        for name, goal in zip(("generalisation", "others", "same person"), theirs, strict=True):
            high = columns[
                name
            ].high  # the reference's figures are of few questions: 5 rephrasings and 3 neighbours by ROME
            assert high is not None
            assert high >= goal - 1e-3, (way, name)
            assert columns[name].value >= min(goal, 0.95) - 1e-3, (way, name)


@pytest.mark.parametrize("shape", ["gpt2", "llama"])
@pytest.mark.parametrize(("method", "run"), [("rome", "rome_mom2"), ("memit", "memit_batch10")])
def test_the_figures_to_reach_are_those_of_the_references_runs(shared: Path, shape: str, method: str, run: str) -> None:
    told = json.loads((shared / "golden/easyedit" / shape / run / "info.json").read_text(encoding="utf-8"))
    after = told["metrics_summary"]["post"]
    names = ("rephrase_acc", "locality.neighborhood_acc", "locality.same_subject_acc")
    least, *theirs = GOALS[method][shape]
    assert least == 0.95
    assert theirs == pytest.approx([after[name] for name in names], abs=1e-3)
    assert all(a >= b for a, b in zip(GOALS[method]["gpt_neox"], GOALS[method][shape], strict=True))
