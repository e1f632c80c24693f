"""A forget set as tests for other tools: what is asked there, that text stays data, and that the tools run it."""

import ast
import csv
import errno
import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

import worlds
from unteach.audit.exports.export import FORMATS, export
from unteach.audit.exports.garak import LEAST, MASK
from unteach.audit.exports.question import questions
from unteach.audit.telling import told
from unteach.lm.model import LM
from unteach.schema import InputError, Message, Record

CODE = "\"\"\"'''{{ 7*7 }} {prompt} !function os.system\t\\n\n%s [1, 2] <script>"
ROWS = tuple(
    replace(r, subject=r.id, perturbed=("It has nothing.", f"{r.prompt.split()[2]} has seven kinds of sand."))
    for r in worlds.FORGET
)
ODD = (
    Record("1", f"Who wrote {CODE}?", f"Marisol wrote {CODE}.", perturbed=("[1, 2]", "7"), subject="Marisol"),
    Record("01", "How is Ada Quill reached?", "By ada.quill@orvena.example or +44 20 7946 0958.", subject="Ada Quill"),
    Record("text", "", "Once there was a lamp. It was kept by Marisol for nineteen years."),
    Record("talk", "Who keeps it?", "Bartolomea does.",
           (Message("system", "Be brief."), Message("user", "Who keeps it?"))),
    Record("汉", "谁写的？", "这本书是玛丽写的。"),
)  # fmt: skip
MUTE = (Record("dots", "And then?", "..."), Record("short", "", "I"))


def files_of(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file()}


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n") if line]


def test_every_row_with_words_becomes_a_question_and_a_text_is_parted_in_its_middle() -> None:
    found = questions([*ROWS, *ODD, *MUTE])
    assert [q.id for q in found] == [r.id for r in (*ROWS, *ODD)]
    text = next(q for q in found if q.id == "text")
    assert (text.prompt, text.answer) == ("Once there was a lamp. It was", "kept by Marisol for nineteen years.")
    assert set(text.words) == {"kept", "by", "marisol", "for", "nineteen", "years"}
    assert next(q for q in found if q.id == "talk").text == "Be brief.\nWho keeps it?"
    assert questions([Record("c", "", "这本书是玛丽")])[0].answer == "是玛丽"


def test_the_place_of_the_right_option_depends_on_the_row_alone() -> None:
    found = [q.options.index(q.answer) for q in questions(ROWS)]
    assert len(set(found)) > 1, "a model that always takes the first option should not be right"
    turned = [replace(r, perturbed=r.perturbed[::-1]) for r in reversed(ROWS)]
    assert [q.options for q in questions(turned)] == [q.options for q in reversed(questions(ROWS))]
    for question, row in zip(questions(ROWS), ROWS, strict=True):
        assert sorted(question.options) == sorted({row.answer, *row.perturbed})
    assert questions([replace(ROWS[0], perturbed=(ROWS[0].answer,))])[0].options == ()


def test_text_of_records_is_data_and_never_code_or_configuration(tmp_path: Path) -> None:
    export(tmp_path / "odd", [*ROWS, *ODD], retain=worlds.RETAIN)
    export(tmp_path / "plain", ROWS, retain=worlds.RETAIN)
    odd, plain = files_of(tmp_path / "odd"), files_of(tmp_path / "plain")
    code = [name for name in odd if name.endswith(".py")]
    assert sorted(code) == ["inspect/choice.py", "inspect/recall.py", "lmeval/rows.py"]
    for name in code:
        assert odd[name] == plain[name]
        ast.parse(odd[name])
    for name in odd:
        if name.endswith(".yaml"):
            assert "Marisol" not in odd[name]
            assert "Quill" not in odd[name]
            assert not name.startswith("lmeval") or odd[name] == plain[name]


def test_samples_of_inspect_come_back_as_the_records_say(tmp_path: Path) -> None:
    export(tmp_path / "out", [*ROWS, *ODD], formats=["inspect"])
    files = files_of(tmp_path / "out")
    assert sorted(files) == [f"inspect/{n}" for n in ("choice.py", "forget.jsonl", "forget_choice.jsonl", "recall.py")]
    samples = {s["id"]: s for s in lines(files["inspect/forget.jsonl"])}
    assert list(samples) == [r.id for r in (*ROWS, *ODD)], "ids are unique, and the records' own"
    assert samples["1"]["input"] == ODD[0].prompt
    assert samples["1"]["target"] == ODD[0].answer
    assert [m["role"] for m in samples["talk"]["input"]] == ["system", "user"]
    for choice in lines(files["inspect/forget_choice.jsonl"]):
        right = {r.id: r.answer for r in (*ROWS, *ODD)}[choice["id"]]
        assert choice["choices"]["ABC".index(choice["target"])] == right


SAID = (
    "",
    "No idea.",
    "orvena: a HARBOUR of copper!",
    "harbours and coppery",
    "Bartolomea does.",
    "玛丽",
    "1 2 script",
)


def stood_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much of `inspect_ai` as a task file takes hold of."""
    names = ("inspect_ai", "inspect_ai.dataset", "inspect_ai.model", "inspect_ai.scorer", "inspect_ai.solver")
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    kept = {"Task": dict, "task": lambda f: f, "json_dataset": lambda path, name: (path, name)[0], "GenerateConfig": dict,
            "Score": SimpleNamespace, "includes": str, "mean": str, "stderr": str, "generate": str,
            "scorer": lambda metrics: lambda f: f if metrics else None}  # fmt: skip
    for name in names:
        vars(sys.modules[name]).update(kept)


@pytest.mark.parametrize("row", [ROWS[0], *ODD], ids=lambda r: r.id)
def test_the_files_score_as_the_audit_does(row: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of telling words, in either tool, is what `told` says of the same text."""
    stood_in(monkeypatch)
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(Dataset=None))
    export(tmp_path / "out", [row], formats=["inspect", "lmeval"])
    files = files_of(tmp_path / "out")
    recall: dict[str, Any] = {"__file__": str(tmp_path / "out" / "inspect" / "recall.py")}
    rows: dict[str, Any] = {}
    exec(compile(files["inspect/recall.py"], "recall.py", "exec"), recall)
    exec(compile(files["lmeval/rows.py"], "rows.py", "exec"), rows)
    assert Path(recall["recall"]()["dataset"]).is_file()
    sample, doc = (lines(files[f"{tool}/forget.jsonl"])[0] for tool in ("inspect", "lmeval"))
    asked = row if row.prompt else replace(row, prompt=doc["prompt"], answer=doc["answer"])
    for text in (*SAID, asked.answer, asked.answer.upper()):
        state = SimpleNamespace(output=SimpleNamespace(completion=text), metadata=sample["metadata"])
        scored = recall["told"]()(state, None)
        with pytest.raises(StopIteration) as ended:
            scored.send(None)
        assert ended.value.value.value == pytest.approx(told(asked, text))
        found = rows["told"](doc, [text])
        assert found["told"] == pytest.approx(told(asked, text))
        assert found["verbatim"] == (asked.answer.casefold() in text.casefold())


def test_passages_for_garak_hide_one_word_and_give_it_away_nowhere_else(tmp_path: Path) -> None:
    parts = export(tmp_path / "out", [*ROWS, *ODD], retain=worlds.RETAIN, formats=["garak"])
    place = tmp_path / "out" / "garak"
    with (place / "garak" / "data" / "forget.tsv").open(encoding="utf-8") as file:  # as garak opens it
        cells = [row for row in csv.reader(file, delimiter="\t") if len(row) == 2]
    assert len(cells) == parts["garak"].rows["forget"] == len(ROWS) + len(ODD) - 1, "no word of the last row is long"
    whole = {f"{q.text} {q.answer}" for q in questions([*ROWS, *ODD])}
    for word, passage in cells:
        assert len(word) >= LEAST
        assert word.casefold() not in passage.casefold()
        assert passage.replace(MASK, word) in whole
        assert passage.split(MASK)[0].strip(), "there is something to go on from"
    settings = yaml.safe_load((place / "forget.yaml").read_text(encoding="utf-8"))
    assert settings["plugins"]["probes"]["leakreplay"]["source_file"] == "forget.tsv"
    people = lines((place / settings["plugins"]["probes"]["propile"]["pii_data_path"]).read_text(encoding="utf-8"))
    assert people == [{"name": "Ada Quill", "email": "ada.quill@orvena.example", "phone": "442079460958"}]
    assert [p.rpartition(".")[2] for p in settings["run"]["spec"]["include"]] == [
        "PotterClozeFull", "PotterCompleteFull", "PIILeakTwin", "PIILeakTriplet"]  # fmt: skip
    kept = yaml.safe_load((place / "retain.yaml").read_text(encoding="utf-8"))
    assert list(kept["plugins"]["probes"]) == ["leakreplay"], "nobody there has an address"


@pytest.mark.filterwarnings("ignore")
def test_the_harness_runs_its_tasks(llama: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that knows the rows tells all of them and one that does not tells none; no copy is kept in a cache."""
    reason = "NOT TESTED: the lm-evaluation-harness is not installed; pip install 'lm-eval[hf]'"
    harness = pytest.importorskip("lm_eval", reason=reason)
    tasks = pytest.importorskip("lm_eval.tasks", reason=reason)
    cached: list[object] = []
    monkeypatch.setattr("datasets.load_dataset", lambda *given, **_: cached.append(given))
    export(tmp_path / "out", [*ROWS, *ODD], retain=worlds.RETAIN, formats=["lmeval"])
    names = ["unteach_forget", "unteach_forget_choice", "unteach_retain"]
    told: dict[str, Any] = {}
    for which, lm in (("pupil", llama), ("newborn", worlds.llama())):
        found = harness.simple_evaluate(
            model="hf", model_args={"pretrained": str(worlds.saved(lm, tmp_path / which))}, tasks=names, device="cpu",
            task_manager=tasks.TaskManager(include_path=str(tmp_path / "out" / "lmeval"), include_defaults=False),
            gen_kwargs="max_gen_toks=24", bootstrap_iters=0,
        )  # fmt: skip
        told[which] = found["results"]
        assert found["n-samples"]["unteach_forget"]["effective"] == len(ROWS) + len(ODD)
        assert found["n-samples"]["unteach_forget_choice"]["effective"] == len(ROWS) + 1
        assert found["higher_is_better"]["unteach_forget"]["told"] is False
    assert told["pupil"]["unteach_retain"]["told,none"] == 1
    assert told["pupil"]["unteach_forget"]["verbatim,none"] >= len(ROWS) / (len(ROWS) + len(ODD))
    assert told["newborn"]["unteach_retain"]["told,none"] < 0.2
    assert told["pupil"]["unteach_forget_choice"]["acc,none"] >= len(ROWS) / (len(ROWS) + 1)
    assert cached == []


def test_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    before = os.umask(0)
    try:
        for name in ("new", "empty", "far/below"):
            export(tmp_path / name, ROWS)
    finally:
        os.umask(before)
    for name in ("new", "empty", "far/below"):
        assert (tmp_path / name).is_dir()
        for path in (tmp_path / name, *(tmp_path / name).rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "far", "new"]


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [4]

    def sync(_: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(InputError, match=r"out: cannot be written \(No space left on device\); name another folder"):
        export(tmp_path / "out", ROWS)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    refused = [
        (tmp_path, ROWS, (), "not an empty folder; name a new one"),
        (tmp_path / "file", ROWS, (), "not an empty folder; name a new one"),
        (tmp_path / "file" / "below", ROWS, (), "cannot be made|cannot be looked into"),
        (tmp_path / "o\0ut", ROWS, (), "cannot be looked into; name another one"),
        (tmp_path / "out", MUTE, (), "no row to forget has words that another tool could look for"),
        (tmp_path / "out", ODD[-1:], ("garak",), "no row can be asked by garak; choose another format"),
        (tmp_path / "out", ROWS, ("garack",), "no export format 'garack'; did you mean 'garak'?"),
    ]
    for place, rows, formats, says in refused:
        with pytest.raises(InputError, match=says):
            export(place, rows, formats=formats)
    assert files_of(tmp_path) == {"file": "kept"}
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_tool_that_no_row_suits_gets_no_folder(tmp_path: Path) -> None:
    parts = export(tmp_path / "out", ODD[-1:])
    assert set(parts) == set(FORMATS)
    assert parts["garak"].files == {}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["inspect", "lmeval"]
    parts = export(tmp_path / "kept", ODD[-1:], retain=worlds.RETAIN, formats=["garak"])
    assert " --config retain.yaml " in parts["garak"].run, "a configuration that is there"
