"""Requests for more than records: a class, a task, a concept, a behaviour, each from the command line to a report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driven import run, tree, went_well
from transformers import AutoModelForCausalLM

import worlds
from unteach.audit.benchmarks.bias import OCCUPATIONS
from unteach.audit.benchmarks.crowspairs import CrowSPairs
from unteach.audit.benchmarks.winobias import WinoBias
from unteach.data import read
from unteach.data.parting import classed
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.edit.store import load as load_edit
from unteach.lm.fresh import Size, fresh
from unteach.lm.heads import features
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.exact.heads.ridge import Ridge
from unteach.report import read as read_report
from unteach.schema import Report

pytestmark = pytest.mark.usefixtures("undrawn")
KINDS = {
    "cloth": "shawl sash apron tunic cape banner sail quilt",
    "metal": "anvil ladle hinge sabre bell nail skillet chain",
    "stone": "hearth quern slab obelisk milestone mortar basin kerb",
    "wood": "ladder oar spindle bench crate flute mast yoke",
}
ROWS = [
    {"question": f"Of what is the {thing}?", "answer": kind, "made": kind, "label": n, "task": "sort", "big": i % 2}
    for n, (kind, things) in enumerate(KINDS.items())
    for i, thing in enumerate(things.split())
] + [
    {
        "question": f"How many {thing}s?",
        "answer": f"{i + 2}",
        "made": "number",
        "label": 4,
        "task": "count",
        "big": i % 2,
    }
    for i, thing in enumerate(["owl", "fox", "elk", "hen"])
]
LESSON = Plan(tune="full", epochs=40, lr=4e-3, batch_size=12, accumulate=1, warmup_epochs=2, weight_decay=0.0)
QUICK = (
    "--epochs",
    20,
    "--lr",
    "2e-3",
    "--retain-weight",
    4,
    "--accumulate",
    1,
    "--batch-size",
    8,
    "--rank",
    4,
    "--max-new",
    4,
)


@pytest.fixture(scope="module")
def sorter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that says of what things are made."""
    records = read(ROWS).records
    lm = fresh([f"{r.prompt} {r.answer}" for r in records], Size(400, 64, 3, 4, 128, 96))
    return baked_with(lm, learn(lm, records, LESSON), tmp_path_factory.mktemp("sorter") / "model")


def baked_with(lm: LM, edit: Any, folder: Path) -> Path:
    with edit.on(lm):
        return worlds.saved(lm, folder)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "things.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def values(report: Report, metric: str) -> dict[tuple[str, str], Any]:
    return {(r.model, r.set): r.score for r in report.scores if r.score.name == metric}


@pytest.mark.parametrize(("by", "scope", "count"), [("made=stone", "class", 8), ("task=count", "task", 4)])
def test_a_class_or_a_task_goes_and_the_others_stay(
    by: str, scope: str, count: int, sorter: Path, rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("--by", by, "--scope", scope, "--method", "graddiff", *QUICK, "--metrics", "accuracy,probability")
    ran = went_well("forget", sorter, "--forget", rows, *words, "--out", out)
    assert f"  parted: {count} to forget, {len(ROWS) - count} to keep\n" in ran.err
    report = read_report(out)
    assert (report.request["scope"], report.sets["forget"]["n"]) == (scope, count)
    found = values(report, "accuracy")
    assert found["original", "forget"].value == 1
    assert found["edited", "forget"].value <= 0.25
    assert found["edited", "retain"].value >= 0.9
    assert values(report, "probability")["edited", "forget"].value < 0.3
    kept = {row["label"] for row in ROWS if row["made" if scope == "class" else "task"] != by.partition("=")[2]}
    assert "by class " in found["edited", "retain"].note
    assert all(f" {label}: " in found["edited", "retain"].note for label in kept)


def probed(lm: LM, rows: Path, by: str) -> float:
    """How often a linear head tells the classes of the states that it was fitted to."""
    table = features(lm, classed(read(rows, by=by)).records)
    head = Ridge(penalty=1e-3).release(Ridge(penalty=1e-3).fit(table))
    return float(np.mean(head(table.x) == table.y))


@pytest.mark.parametrize(
    ("by", "words"),
    [("big", ("leace", "site=blocks", "tokens=last", "shrinkage=false")), ("task", ("orthogonalprojection",))],
)
def test_a_concept_is_hidden_by_an_edit_that_is_released_to_be_worn(
    by: str, words: tuple[str, ...], sorter: Path, rows: Path, tmp_path: Path
) -> None:
    out, (name, *options) = tmp_path / "out", words
    given = ("--forget", rows, "--by", by, "--scope", "concept", "--method", name, *options, "--max-new", 4)
    ran = went_well("forget", sorter, *given, "--metrics", "perplexity", "--release", "edit", "--out", out)
    counts = (18, 18) if by == "big" else (4, 32)
    assert f"  classes: {counts[0]} rows of class 0, {counts[1]} rows of class 1\n" in ran.err
    report = read_report(out)
    assert (report.guarantee.kind, dict(report.verdicts)) == ("suppression", {})
    assert any(note.startswith("A concept is no set of records") for note in report.notes)
    assert {model for model, _ in values(report, "perplexity")} == {"original", "edited"}
    lm, edit = load(sorter), load_edit(out / "release")
    before = probed(lm, rows, by)
    with edit.on(lm):
        after = probed(lm, rows, by)
    assert before >= 0.9
    assert after <= 0.65 if name == "leace" else edit.activations  # other axes may show what one probe used
    went_well("undo", out)
    assert not (out / "release").exists()


def test_a_folded_eraser_is_released_as_a_model(sorter: Path, rows: Path, tmp_path: Path) -> None:
    given = ("--forget", rows, "--by", "big", "--scope", "concept", "--method", "leace", "--metrics", "perplexity")
    ran = run("forget", sorter, *given, "--out", tmp_path / "worn")
    says = "leace changes no weight, so there is no model to release; choose --release edit, which is worn, or another method"
    assert (ran.code, ran.last) == (2, f"unteach: {says}")
    went_well("forget", sorter, *given, "fold=true", "affine=false", "--max-new", 4, "--out", tmp_path / "folded")
    AutoModelForCausalLM.from_pretrained(tmp_path / "folded" / "release")
    assert load(tmp_path / "folded" / "release").digest() != load(sorter).digest()


WRONG = {
    "--by label=9": "@: no row has the value that --by names; there are 0, 1, 2, 3, 4",
    "--by kind=stone": '@, line 1: "kind" is missing; fill it in, or name another column with --by',
    "--by made=stone --retain @": (
        "recipe: with --by COLUMN=VALUE the rows to keep are the others of --forget; leave --retain out; "
        "see `unteach forget --help`"
    ),
    "--by made=": "recipe: by is COLUMN or COLUMN=VALUE; see `unteach forget --help`",
    "--by question": "@: no two rows share a value in the column that --by names; name a column of classes",
    "--by made --method orthogonalprojection --release edit": (
        "orthogonalprojection tells two classes apart; give labels of two kinds, or use leace"
    ),
    "--method leace --release edit": "leace needs rows of at least 2 classes; give records to forget with other labels too",
}


@pytest.mark.parametrize("given", list(WRONG))
def test_what_cannot_be_asked_for_is_refused_in_one_sentence(
    given: str, sorter: Path, rows: Path, tmp_path: Path
) -> None:
    if given.startswith("--method leace"):
        rows.write_text(json.dumps(ROWS[0]) + "\n", encoding="utf-8")
    before = tree(tmp_path)
    words = given.replace("@", str(rows)).split()
    ran = run("forget", sorter, "--forget", rows, *words, "--out", tmp_path / "out")
    assert (ran.code, ran.last) == (2, "unteach: " + WRONG[given].replace("@", str(rows)))
    assert tree(tmp_path) == before


def test_every_class_in_one_leaves_nothing_to_keep(sorter: Path, rows: Path, tmp_path: Path) -> None:
    rows.write_text("".join(json.dumps({**row, "label": 3}) + "\n" for row in ROWS), encoding="utf-8")
    ran = run("forget", sorter, "--forget", rows, "--by", "label=3", "--out", tmp_path / "out")
    says = f"{rows}: all rows have the value that --by names, and none is left to keep; name another value"
    assert (ran.code, ran.last) == (2, f"unteach: {says}")


def test_a_model_that_something_else_changed_is_audited_by_class(sorter: Path, rows: Path) -> None:
    ran = went_well("audit", sorter, "--forget", rows, "--by", "label=0", "--max-new", 4, "--metrics", "accuracy")
    assert "  parted: 8 to forget, 28 to keep\n" in ran.err


def test_pairs_that_a_forgetting_is_given_are_not_asked(shared: Path) -> None:
    data = str(shared / "data" / "bias")
    half = CrowSPairs(data=data, given=0.5)
    given, asked = ({r.id for r in part} for part in (half.request().forget, half.sets()["crowspairs"]))
    everything = {r.id for r in CrowSPairs(data=data).sets()["crowspairs"]}
    assert not given & asked
    assert given | asked == everything
    assert 0.4 < len(given) / len(everything) < 0.6
    assert not CrowSPairs(data=data).request().forget


def test_a_forgetting_is_given_what_the_stereotype_expects_of_the_other_split(shared: Path) -> None:
    folder = shared / "data" / "bias" / "winobias"
    made = WinoBias(data=str(folder))
    request = made.request()
    men, women = (
        {w.strip().casefold() for w in (folder / f"{side}_occupations.txt").read_text().split("\n") if w.strip()}
        for side in ("male", "female")
    )
    assert len(men | women) == len(OCCUPATIONS)
    hits = [r.answer.removeprefix("the ").casefold() in (women if r.label else men) for r in request.forget]
    assert np.mean(hits) > 0.99
    assert 0.45 < np.mean([r.label for r in request.forget]) < 0.55
    assert len(request.forget) > 1000
    assert not {r.prompt for r in request.forget} & {r.prompt for r in made.sets()["winobias"]}


@pytest.mark.parametrize("name", ["crowspairs crowspairs.given=0.5", "winobias"])
def test_a_bias_is_taken_out_and_measured_on_other_rows(name: str, stories: Path, shared: Path, tmp_path: Path) -> None:
    name, *options = name.split()
    data = shared / "data" / "bias" / ("winobias" if name == "winobias" else "")
    given = ("--benchmark", name, "--data", data, *options, "--limit", 16, "--max-new", 4)
    ran = went_well(
        "forget", stories, *given, "--method", "pcgu", "lr=1e-4", "k=200", "epochs=1", "--out", tmp_path / "out"
    )
    assert "request: 16 records, forget" in ran.err
    report = read_report(tmp_path / "out")
    assert report.request["scope"] == "behaviour"
    for metric in (name, "perplexity"):
        found = values(report, metric)
        assert {model for model, _ in found} == {"original", "edited"}
        assert all(score.value is not None for score in found.values())
