"""Our edits and the usual ones agree on small models; what is timed is the same work."""

from pathlib import Path

import pytest
from benchmarks.editing import CASES, PROJECTED, SOLVED, Case, Subject, agree, projecting, solving, subject_of
from benchmarks.paired import Differ, alike

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
    agree(case, found, ours())
    assert subject.copy.digest() == before == subject.lm.digest()
    wrong = {n: d * (1 + 3 * case.within) for n, d in found.items()}
    with pytest.raises(Differ, match="relative distance"):
        agree(case, found, wrong)
    with pytest.raises(Differ, match="only one side"):
        agree(case, found, dict(list(found.items())[1:]))


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
