"""Facts corrected from the command line, and what must be forgotten declined by a method that corrects."""

import json
from pathlib import Path
from typing import Any

import pytest
from driven import run, tree, went_well

from unteach import jobs
from unteach.data.facts import read_facts
from unteach.data.refusing import REFUSAL, refusing
from unteach.lm.load import load
from unteach.schema import InputError, Record


@pytest.fixture(scope="session")
def knowing(shared: Path) -> Path:
    """A GPT-2-shaped model that knows invented facts by their subjects."""
    return shared / "golden/tiny_facts_gpt2"


@pytest.fixture(scope="session")
def facts(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    told = json.loads((shared / "golden/easyedit/edits_gpt2.json").read_text(encoding="utf-8"))["memit_edits"][:2]
    path = tmp_path_factory.mktemp("facts") / "facts.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def text(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    documents = json.loads((shared / "golden/easyedit/stats/corpus.json").read_text(encoding="utf-8"))
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n\n".join(documents[:300]), encoding="utf-8")
    return path


QUICK = ("layers=0-1", "steps=12", "--metrics", "reliability,locality")


@pytest.mark.usefixtures("undrawn")
def test_facts_are_corrected_from_the_command_line(knowing: Path, facts: Path, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = went_well("edit", knowing, "--facts", facts, "--out", out, *QUICK, f"corpus={text}")
    assert "parameters in 2 weights changed" in ran.out
    told = read_facts(facts)
    for fact in told:
        assert f"fact {fact.id}: p(new) 0." in ran.out
        assert fact.target_new not in ran.out + ran.err
        assert fact.subject not in ran.out + ran.err
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    values = {(s["model"], s["metric"]): s["value"] for s in report["scores"] if s["set"] == "facts"}
    assert values["edited", "reliability"] > values["original", "reliability"]
    assert report["verdicts"] == {}
    before = load(knowing).digest()
    assert load(out / "release").digest() != before
    assert jobs.undo(out) == before == load(out / "release").digest()


@pytest.mark.usefixtures("undrawn")
def test_answers_are_quoted_where_that_is_asked_for(knowing: Path, facts: Path, text: Path, tmp_path: Path) -> None:
    words = ("--facts", facts, "--out", tmp_path / "out", "steps=12", f"corpus={text}", "--limit", 1, "--show")
    ran = went_well("edit", knowing, *words, "--method", "rome")
    assert "answers '" in ran.out


@pytest.mark.usefixtures("undrawn")
def test_what_must_be_forgotten_is_declined_by_a_method_that_corrects(
    knowing: Path, facts: Path, text: Path, tmp_path: Path
) -> None:
    rows = [
        {"question": f.prompt.replace("{}", f.subject), "answer": f.ground_truth, "subject": f.subject}
        for f in read_facts(facts)
    ]
    (tmp_path / "forget.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    words = (
        "--forget",
        tmp_path / "forget.jsonl",
        "--out",
        tmp_path / "out",
        "layers=0-1",
        "steps=12",
        f"corpus={text}",
    )
    ran = went_well("forget", knowing, *words, "--method", "memit", "--metrics", "probability")
    assert "memit: 2 records to forget and 2 facts to correct" in ran.err
    report = json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))
    values = {s["model"]: s["value"] for s in report["scores"]}
    assert values["edited"] < values["original"]


def test_a_record_is_declined_by_its_subject() -> None:
    given = Record("a", "Where does Ada of Orvena live?", "At 5 Elm Street.", subject="Ada of Orvena")
    found = Record("b", "What is the trade of Celia van Brandt?", "A potter.")
    own, named = refusing([given, found])
    assert (own.prompt, own.subject, own.target_new, own.ground_truth) == (
        "Where does {} live?",
        "Ada of Orvena",
        REFUSAL,
        given.answer,
    )
    assert (named.prompt, named.subject) == (
        "What is the trade of Celia van {}?",
        "Brandt",
    ) or named.subject.startswith("Celia")
    with pytest.raises(InputError, match="rows 2 to forget do not say whose"):
        refusing([given, Record("c", "Which colour is it?", "Blue.")])


FACT: dict[str, Any] = {"prompt": "The trade of {} is", "subject": "Ada Almond", "target_new": "potter"}
WRONG: dict[str, Any] = {
    "not JSON": "{",
    "a table of texts": ["Ada"],
    "an empty list": [],
    "a number": 3,
    "null": None,
    "no prompt": [{k: v for k, v in FACT.items() if k != "prompt"}],
    "no subject": [{k: v for k, v in FACT.items() if k != "subject"}],
    "no new answer": [{k: v for k, v in FACT.items() if k != "target_new"}],
    "an empty new answer": [FACT | {"target_new": ""}],
    "a blank new answer": [FACT | {"target_new": "  "}],
    "a new answer that is a number": [FACT | {"target_new": 5}],
    "an empty subject": [FACT | {"subject": ""}],
    "an empty prompt": [FACT | {"prompt": ""}],
    "a prompt that is a list": [FACT | {"prompt": ["a"]}],
    "two places for the subject": [FACT | {"prompt": "{} and {} are"}],
    "a subject that is not in the prompt": [FACT | {"prompt": "The trade is"}],
    "the same id twice": [FACT | {"id": "a"}, FACT | {"id": "a", "target_new": "cooper"}],
    "two answers to one question": [FACT, FACT | {"target_new": "cooper"}],
    "the same fact twice": [FACT | {"id": "a"}, FACT | {"id": "b"}],
    "the old answer again": [FACT | {"ground_truth": "potter"}],
    "the old answer in capitals": [FACT | {"ground_truth": " POTTER"}],
    "an id that is a list": [FACT | {"id": [1]}],
    "probes that are a text": [FACT | {"locality": "text"}],
    "a probe without a prompt": [FACT | {"locality": [{"answer": "x"}]}],
    "a probe without an answer": [FACT | {"locality": [{"prompt": "x"}]}],
    "rephrasings that are a number": [FACT | {"rephrasings": 4}],
    "neighbours without an old answer": [FACT | {"neighborhood_prompts": ["x"]}],
    "a fact longer than the model reads": [FACT | {"prompt": "word " * 3000 + "{} is"}],
    "a new answer longer than the model reads": [FACT | {"target_new": "word " * 3000}],
}


@pytest.mark.parametrize("what", WRONG)
def test_facts_that_cannot_be_used_are_refused_in_one_sentence(what: str, knowing: Path, tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    value = WRONG[what]
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    before = tree(tmp_path)
    ran = run("edit", knowing, "--facts", path, "--out", tmp_path / "out", "samples=2", "steps=2")
    assert (ran.code, len(ran.err.strip().splitlines()[-1:])) == (2, 1), ran.err
    assert ran.last.startswith("unteach: ")
    assert "Almond" not in ran.err + ran.out
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [
        ("layers=99",), ("layers=x",), ("layers=2-1",), ("layers=5",), ("layers=-1",), ("weight=0",), ("weight=x",),
        ("steps=0",), ("rate=-1",), ("clamp=0",), ("corpus=none-such.txt",), ("betta=1",), ("samples=0",),
        ("--method", "romme"), ("--method", "npo"), ("--method", "emmet", "ridge=0"),
        ("--method", "alphaedit", "threshold=0"), ("--forget", "x.jsonl"), ("--release", "adaptor"),
        ("--metrics", "reliabilty"), ("--method", "grace"), ("--method", "ike"), ("--benchmark", "zsre"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused_in_one_sentence(
    words: tuple[str, ...], knowing: Path, tmp_path: Path
) -> None:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps([FACT]), encoding="utf-8")
    before = tree(tmp_path)
    ran = run("edit", knowing, "--facts", path, "--out", tmp_path / "out", *words)
    assert ran.code == 2, ran.err
    assert ran.last.startswith("unteach: ")
    assert "Almond" not in ran.err + ran.out
    assert tree(tmp_path) == before


def test_facts_are_asked_for(knowing: Path, tmp_path: Path) -> None:
    ran = run("edit", knowing, "--out", tmp_path / "out")
    assert (ran.code, ran.last) == (
        2,
        "unteach: 'facts' is missing; give --facts FILE, or a benchmark that holds facts",
    )
