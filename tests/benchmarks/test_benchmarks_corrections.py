"""Every method on every benchmark: what is asked, what is kept, and how it comes onto the page."""

import json
from pathlib import Path

import pytest
import torch
from benchmarks.corrected import write_page
from benchmarks.corrections import BENCHMARKS, COLUMNS, METHODS, NONE, before, corrected, means
from benchmarks.hundred import AFTER, course, in_sequence

import worlds
from unteach.edit.edit import Edit
from unteach.edit.patches import AddOuter
from unteach.lm.model import LM
from unteach.methods.facts.ft import FT
from unteach.methods.facts.ike import IKE
from unteach.registry import entries
from unteach.schema import Fact, InputError, Probe, Request

ASKED = "What is {} known for?"
FACTS = tuple(
    Fact(
        r.id, ASKED, r.prompt[8:-11], other.answer, r.answer, (r.prompt.upper(),), (Probe(other.prompt, other.answer),)
    )
    for r, other in zip(worlds.RECORDS[:4], worlds.RECORDS[4:8], strict=True)
)


def test_the_methods_are_those_that_need_facts() -> None:
    assert set(METHODS) == {e.name for e in entries("method") if e.needs == ("facts",)}


def test_a_method_sees_the_fact_alone_and_a_refusal_is_counted(lm: LM) -> None:
    def method(model: LM, request: Request) -> Edit:
        (fact,) = request.facts
        assert fact.rephrasings == fact.locality == fact.portability == ()
        if fact.id == FACTS[0].id:
            raise InputError("not this one")
        return FT(layer=1)(model, request)

    then = before(lm, FACTS[:2])
    found = corrected(lm, method, FACTS[:2], then)
    assert (found["failed"], len(found["rows"]), len(found["seconds"])) == (["not this one"], 1, 1)
    (row,) = found["rows"]
    assert row["reliability"] > then[1][1]["reliability"]
    assert row["portability"] is None
    assert then[1][1]["locality"] is None  # there is nothing to compare it with


def test_behind_a_guard_locality_is_that_of_free_answers(lm: LM) -> None:
    (row,) = corrected(lm, IKE(), FACTS[:1], before(lm, FACTS[:1]))["rows"]
    assert row["reliability"] is None
    assert row["locality"] == 1.0  # a question about another subject is asked as it came


def test_edits_in_sequence_are_each_made_on_the_model_with_those_before(lm: LM) -> None:
    state, name = worlds.state(lm), next(n for n, p in lm.parameters().items() if p.ndim == 2 and ".0." in n)
    met: list[str] = []

    def method(model: LM, _request: Request) -> Edit:
        met.append(model.digest())
        if len(met) > max(n for n in AFTER if n <= 3):
            raise InputError("enough")
        rows, columns = model.parameters()[name].shape
        return Edit(model.digest(), {name: (AddOuter(*(torch.ones(s) for s in ((rows, 1), (1, columns)))),)})

    points, ended = in_sequence(course(lm, FACTS, ["a text about towns"]), method)
    assert [p.edits for p in points] == [1, 3]
    assert points[1].moved == pytest.approx(3 * points[0].moved, rel=1e-4)
    assert ended == "edit 4: enough"
    assert len(set(met)) == 4
    assert worlds.state(lm) == state


def test_the_page_has_means_failures_and_no_part_that_only_some_methods_have(tmp_path: Path) -> None:
    place, page = tmp_path / "table" / BENCHMARKS[1], tmp_path / "page.md"
    place.mkdir(parents=True)
    row = dict.fromkeys(COLUMNS, 0.5)
    for name in (NONE, *METHODS):
        failed = ["no editor"] if name == "mend" else []
        told = {
            "rows": [] if failed else [row, row | {"ES": 1.0}],
            "failed": failed,
            "seconds": [] if failed else [1, 2],
        }
        (place / f"{name}-0.json").write_text(json.dumps(told), encoding="utf-8")
    (place / f"{NONE}-10.json").write_text(json.dumps({"rows": [row], "failed": [], "seconds": []}), encoding="utf-8")
    page.write_text("a\n<!-- editors -->\n<!-- /editors -->\nb\n", encoding="utf-8")
    write_page(tmp_path, "tiny", page, tmp_path / "results")
    text = page.read_text(encoding="utf-8")
    assert "### CounterFact" in text
    assert "2 facts." in text
    assert "Failed on 1 of 1: `mend`: no editor." in text
    assert means([row, row | {"ES": 1.0}])["S"].value == pytest.approx(3 / (1 / 0.75 + 2 + 2))
    assert json.loads((tmp_path / "results" / "corrections.json").read_text(encoding="utf-8"))["many"] == {}
