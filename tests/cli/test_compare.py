"""Methods side by side: at equal retention, over seeds, going on where an interrupted comparison was."""

import json
from pathlib import Path

import pytest
from driven import QUICK, run, tree, went_well

from unteach.audit.control import at
from unteach.data import read
from unteach.edit.store import load as load_edit
from unteach.lm.load import load
from unteach.report import from_json
from unteach.report import read as read_report

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def words(pupil: Path, towns: Path) -> list[object]:
    files = ["--forget", towns / "forget.jsonl", "--retain", towns / "retain.jsonl"]
    quick = [*QUICK, "--metrics", "probability,exactmemorization"]
    return [
        "compare",
        pupil,
        *files,
        *quick,
        "--methods",
        "ga,simnpo",
        "--seeds",
        "0,1",
        "ga.epochs=5",
        "--tune",
        "full",
    ]


def test_compare_puts_methods_side_by_side_where_they_keep_equally_much(
    words: list[object], pupil: Path, towns: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = went_well(*words, "--out", out)
    assert str(out / "seeds.md") in ran.out
    lm, rows = load(pupil), [read(towns / f"{n}.jsonl").records for n in ("forget", "retain")]
    whole = at(lm, load_edit(out / "seed-0" / "edits" / "ga"), 0.0, *rows, "extraction")["retain"]
    for seed in (0, 1):
        report = read_report(out / f"seed-{seed}")
        assert list(report.models) == ["original", "ga", "simnpo"]
        assert report.method["seed"] == seed
        assert set(report.mixing) == {"ga", "simnpo"}
        for name in ("ga", "simnpo"):
            place = out / f"seed-{seed}" / "edits" / name
            equal = json.loads((place / "equal.json").read_text())
            assert equal["retain"] >= 0.95 * whole
            there = at(lm, load_edit(place), equal["alpha"], *rows, "extraction")
            assert there == pytest.approx({k: equal[k] for k in ("forget", "retain")})
            assert any(note.startswith(f"{name}: {equal['alpha']:.2f} of it keeps enough") for note in report.notes)
    assert load_edit(out / "seed-0/edits/ga").digest() != load_edit(out / "seed-1/edits/ga").digest()
    steps = {name: load_edit(out / "seed-0" / "edits" / name).history[-1]["step"] for name in ("ga", "simnpo")}
    assert steps == {"ga": 5, "simnpo": 3}  # one a pass: ga has passes of its own, simnpo those of all
    table = (out / "seeds.md").read_text(encoding="utf-8")
    assert "simnpo" in table
    assert "Seeds: 0, 1." in table


def test_what_is_done_is_not_done_again(words: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    went_well(*words, "--out", out)
    before = tree(out)
    for gone in (out / "seeds.md", out / "seed-1" / "report.json"):
        gone.unlink()
    again = went_well(*words, "--out", out)
    assert "ga, seed 0: done before" in again.err
    assert "seed 0: asked before" in again.err
    after = tree(out)
    assert set(after) == set(before)
    changed = {name for name in after if after[name] != before[name]}
    assert all(name.startswith("seed-1/") and "edits" not in name for name in changed)
    assert from_json((out / "seed-1" / "report.json").read_text(encoding="utf-8")).method["seed"] == 1


@pytest.mark.slow
def test_side_by_side_in_processes_gives_the_same(words: list[object], tmp_path: Path) -> None:
    went_well(*words, "--out", tmp_path / "one")
    went_well(*words, "--out", tmp_path / "two", "--workers", 2)
    for seed in (0, 1):
        for name in ("ga", "simnpo"):
            one, two = (load_edit(tmp_path / n / f"seed-{seed}" / "edits" / name) for n in ("one", "two"))
            assert one.digest() == two.digest()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--methods", "ga,npoo"], "there is no method 'npoo'; did you mean 'npo'?"),
        (["--seeds", "a"], "compare: seeds must be whole numbers with commas between; see `unteach compare --help`"),
        (["--tau", "2"], "compare: tau must lie between 0 and 1; see `unteach compare --help`"),
        (["ga.betta=1"], "method 'ga' has no option 'betta'"),
        (["--metrics", "rougell"], "there is no metric 'rougell'; did you mean 'rougel'?"),
        (["--attacks", "relern"], "there is no attack 'relern'; did you mean 'relearn'?"),
        (["--attacks", "relearn", "relearn.steps=9"], "'relearn.steps' is an option of nothing that was named"),
        (["--tasks", "nowhere.yaml"], "nowhere.yaml: "),
        (["method=npo"], "compare has no option 'method'; name several with --methods"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    words: list[object], tmp_path: Path, more: list[object], sentence: str
) -> None:
    ran = run(*words, "--out", tmp_path / "out", *more)
    assert ran.code == 2
    assert sentence in ran.last
    assert not (tmp_path / "out").exists()


def test_another_comparison_is_not_mixed_in(words: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "comparison.json").write_text(json.dumps({"settings": "others"}))
    ran = run(*words, "--out", out)
    assert (ran.code, "holds a comparison with other settings" in ran.last) == (2, True)
    (out / "comparison.json").rename(out / "something")
    ran = run(*words, "--out", out)
    assert (ran.code, "not an empty folder" in ran.last) == (2, True)
