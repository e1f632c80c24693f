"""Facts are traced from the command line; nothing of them is said or written unless it was asked for."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from driven import run, went_well

from unteach.data.facts import read_facts
from unteach.schema import Fact

FEW = ("--samples", 2, "--noise", 4)


@pytest.fixture
def facts(shared: Path, tmp_path: Path) -> Path:
    """Two facts that the tiny Llama knows, and two that it does not."""
    rows = json.loads((shared / "golden/easyedit/edits_llama.json").read_text(encoding="utf-8"))["memit_edits"]
    told = [Fact(f"f{n}", r["prompt"], r["subject"], r["target_new"], r["target_true"]) for n, r in enumerate(rows[:4])]
    told[2] = replace(told[2], target_new=told[2].ground_truth, ground_truth=told[2].target_new)
    told[3] = replace(told[3], ground_truth="")
    path = tmp_path / "facts.jsonl"
    names = ("id", "prompt", "subject", "target_new", "ground_truth")
    path.write_text("".join(json.dumps({n: asdict(f)[n] for n in names}) + "\n" for f in told), encoding="utf-8")
    return path


def test_known_facts_are_traced_and_the_others_counted(shared: Path, facts: Path, tmp_path: Path) -> None:
    out = tmp_path / "traced"
    ran = went_well("trace-effect", shared / "golden/tiny_facts_llama", "--facts", facts, "--out", out, *FEW)
    assert "2 of 4 facts are skipped" in ran.err
    assert "mlp: " in ran.out
    assert sorted(p.name for p in out.iterdir()) == ["effects.csv", "effects.json", "effects.svg"]
    found = json.loads((out / "effects.json").read_text(encoding="utf-8"))
    assert (found["unknown"], found["total"]["n"], found["samples"], found["noise"]) == (2, 2, 2, 4.0)
    rows = list(csv.DictReader((out / "effects.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == len(found["effects"])
    assert {r["restored"] for r in rows} == {"state", "mlp", "attention"}
    best = max((r for r in rows if r["restored"] == "mlp"), key=lambda r: float(r["value"]))
    assert (best["token"], best["layer"]) == ("last subject token", "0")
    written = ran.out + ran.err + "".join(p.read_text(encoding="utf-8") for p in out.iterdir())
    for fact in read_facts(facts):
        assert not [text for text in (fact.subject, fact.ground_truth, fact.target_new) if text and text in written]


def test_a_fact_is_drawn_with_its_tokens_only_on_request(shared: Path, facts: Path, tmp_path: Path) -> None:
    out, model = tmp_path / "traced", shared / "golden/tiny_facts_llama"
    ran = went_well("trace-effect", model, "--facts", facts, "--out", out, "--limit", 1, "--show", *FEW)
    assert (out / "fact-1.svg").is_file()
    first = read_facts(facts)[0]
    assert first.prompt.split()[-1] in (out / "fact-1.svg").read_text(encoding="utf-8")
    assert first.prompt.split()[-1] not in (out / "effects.svg").read_text(encoding="utf-8")
    assert first.subject not in ran.out + ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--facts", "@unknown"], "the model knows none of the 1 facts"),
        (["--facts", "@none.jsonl"], "none.jsonl"),
        (["--facts", "@facts.jsonl", "--samples", "0"], "at least one sample"),
        (["--facts", "@facts.jsonl", "--noise", "x"], "noise"),
        (["--facts", "@facts.jsonl", "--sample", "1"], "sample"),
        ([], "facts"),
    ],
)
def test_what_cannot_be_traced_is_one_sentence(
    shared: Path, facts: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    (tmp_path / "unknown").write_text(facts.read_text(encoding="utf-8").splitlines()[2] + "\n", encoding="utf-8")
    given = [w.replace("@", f"{tmp_path}/") for w in words]
    ran = run("trace-effect", shared / "golden/tiny_facts_llama", "--out", tmp_path / "out", *given)
    assert ran.code == 2
    assert says in ran.last
    assert not (tmp_path / "out").exists()
