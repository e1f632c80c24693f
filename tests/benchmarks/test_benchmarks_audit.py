"""Our audit and the usual one give the same values, row by row."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks.auditing import MODELS, MORE, SUITES, Asking, agree, compared, prepared, spoil, there
from benchmarks.paired import Differ
from benchmarks.straightforward import auditing as straightforward
from benchmarks.straightforward import writing
from benchmarks.straightforward.auditing import Finding
from benchmarks.subjects import TEMPLATE

from benchmarks import auditing
from unteach.audit.benchmarks.tofu import Tofu
from unteach.data import read
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import Record

ROWS = 3


@pytest.fixture(scope="module")
def sets(shared: Path) -> Mapping[str, Sequence[Record]]:
    folder = shared / "golden" / "open_unlearning" / "data"
    return {**Tofu(str(folder), rows=ROWS).sets(), "holdout": read(folder / "holdout10.json").records[:ROWS]}


@pytest.fixture(scope="module")
def asking(shared: Path, sets: Mapping[str, Sequence[Record]], tmp_path_factory: pytest.TempPathFactory) -> Asking:
    retrained = load(shared / "golden" / MODELS[1], template=TEMPLATE)
    return prepared(sets, retrained, tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def noisy(shared: Path) -> LM:
    lm = load(shared / "golden" / MODELS[0], template=TEMPLATE)
    spoil(lm)
    return lm


def test_both_ways_agree_on_every_value_of_every_row(
    asking: Asking, noisy: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (auditing, writing):
        monkeypatch.setattr(module, "MAX_NEW", 12)
    more = there(MORE)
    peer, ours = asking.peer(noisy, more), asking.ours(noisy, more)
    agree(peer, ours)
    assert len(peer["forget/rougel"].rows) == ROWS
    assert len(peer["forget/mialoss"].rows) == 2 * ROWS
    assert {name.partition("/")[2] for name in peer} >= {"modelutility", "forgetquality", "extractionstrength"}
    few = asking.peer(noisy, SUITES["TOFU's metrics"])
    assert {name: peer[name] for name in few} == few


def test_a_comparison_becomes_a_figure_or_a_failure(noisy: LM) -> None:
    found = {"forget/probability": Finding(0.5)}
    same = SimpleNamespace(peer=lambda _lm, _more: found, ours=lambda _lm, _more: dict(found))
    figure = compared("an audit", noisy, same, {}, pairs=5)
    assert (figure.what, figure.goal) == ("an audit", 4.0)
    other = SimpleNamespace(peer=same.peer, ours=lambda _lm, _more: {"forget/probability": Finding(0.6)})
    with pytest.raises(Differ, match="forget/probability"):
        compared("an audit", noisy, other, {}, pairs=5)


def test_another_value_a_missing_one_and_another_row_are_found_out() -> None:
    found = {"forget/probability": Finding(0.5, [0.4, 0.6])}
    agree(found, found)
    for wrong in (
        {},
        {"forget/probability": Finding(0.51, [0.4, 0.6])},
        {"forget/probability": Finding(0.5, [0.6, 0.4])},
    ):
        with pytest.raises(Differ):
            agree(found, wrong)


def test_a_metric_that_is_not_there_is_named_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert there({"oblivion": {}, "mialoss": {}}) == {"mialoss": {}}
    assert "oblivion: not measured" in capsys.readouterr().out


def test_the_longest_common_subsequence_by_its_table() -> None:
    assert straightforward._recall(["a", "b", "c", "d"], ["b", "x", "d", "a"]) == 0.5
    assert straightforward._recall(["a"], []) == 0.0
