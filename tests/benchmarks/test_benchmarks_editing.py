"""Our edits and the usual ones agree on small models; what is timed is the same work."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from benchmarks.double import doubled
from benchmarks.editing import (
    CASES,
    EXACT,
    PROJECTED,
    SOLVED,
    Case,
    Subject,
    agree,
    projecting,
    same,
    solving,
    subject_of,
)
from benchmarks.paired import Differ, alike
from benchmarks.straightforward.editing import Changes
from torch.nn.functional import embedding

from unteach.methods.facts.values import Search


@pytest.fixture(params=["gpt2", "llama"])
def subject(request: pytest.FixtureRequest, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """Two facts, few texts, and short searches."""
    found = subject_of(shared / "golden", request.param)
    some = {"facts": found.facts[:2], "many": found.facts[2:5], "texts": found.texts[:80]}
    for name, value in some.items():
        monkeypatch.setitem(vars(found), name, value)
    few = [Search(steps=5, rate=0.5, clamp=0.75), Search(steps=5, rate=0.5, clamp=0.75, weaker=0.01)]
    monkeypatch.setattr(Subject, "search", lambda _self, _tag, weaker=None: few[weaker is not None])
    return found


@pytest.mark.parametrize("name", CASES)
def test_both_ways_change_the_same_by_the_same(subject: Subject, name: str) -> None:
    case = CASES[name]
    peer, ours = case.ways(subject)
    before = subject.copy.digest()
    found = peer()
    within = case.within(subject.family)
    agree(case, found, ours(), within=within)
    assert subject.copy.digest() == before == subject.lm.digest()
    wrong = {n: d * (1 + 3 * within) for n, d in found.items()}
    with pytest.raises(Differ, match="relative distance"):
        agree(case, found, wrong, within=within)
    with pytest.raises(Differ, match="only one side"):
        agree(case, found, dict(list(found.items())[1:]), within=within)


@pytest.mark.parametrize("name", CASES)
def test_what_both_ways_differ_by_is_rounding(subject: Subject, name: str) -> None:
    same(CASES[name], subject)


def test_another_way_is_told_from_rounding(subject: Subject) -> None:
    case = CASES["rome"]

    def ways(s: Subject) -> tuple[Callable[[], Changes], Callable[[], Changes]]:
        peer, ours = case.ways(s)
        return peer, lambda: {n: d * (1 + 2 * EXACT) for n, d in ours().items()}

    with pytest.raises(Differ, match="relative distance"):
        same(replace(case, ways=ways), subject)


def test_in_double_precision_nothing_is_computed_in_single(subject: Subject) -> None:
    lm, ids = subject.lm, torch.arange(5, 25)[None]
    single, moved = lm.model(ids).logits.detach(), []
    embedded = lm.model.get_input_embeddings()
    with doubled(lm), torch.no_grad():
        found = lm.model(ids).logits
        for step in (1e-10, 2e-10):  # a change that single precision does not see
            with patch.object(embedded, "forward", lambda i, s=step: embedding(i, embedded.weight) * (1 + s)):
                moved.append(lm.model(ids).logits - found)
    assert found.dtype == torch.float64
    assert 0 < float((found - single).abs().max()) < 1e-4
    assert float((moved[1] - 2 * moved[0]).norm() / moved[1].norm()) < 1e-3
    assert lm.model.dtype == torch.get_default_dtype() == torch.float32
    assert torch.equal(lm.model(ids).logits.detach(), single)


@pytest.mark.parametrize("ways", [solving, projecting])
def test_closed_forms_agree_at_a_small_width(ways: object) -> None:
    peer, ours = ways(128)  # type: ignore[operator]
    alike("a closed form", peer(), ours())


def test_as_many_facts_are_edited_as_the_line_says(shared: Path) -> None:
    case: Case = CASES["memit100"]
    many = subject_of(shared / "golden", "gpt2").many
    assert len(many) == len({f.subject for f in many}) == case.per
    assert (case.per, case.goals) == (100, {"gpt2": 6.0, "llama": 6.0})
    assert (SOLVED, PROJECTED) == (4096, 2048)
    assert CASES["ftl"].goals["gpt2"] == 1.5
