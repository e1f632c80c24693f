"""`unteach export`: a forget set as tests for other tools, and what is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from driven import run, tree, went_well

CANARY = "Ysolde"


def written(path: Path, *answers: str) -> Path:
    rows = ({"question": f"What of {CANARY}, {n}?", "answer": text} for n, text in enumerate(answers))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, Path]:
    return {
        "forget": written(tmp_path / "forget.jsonl", "A lighthouse.", "Three bridges."),
        "retain": written(tmp_path / "retain.jsonl", "Nothing but rain."),
    }


def test_export_writes_tests_for_every_tool(sets: dict[str, Path], tmp_path: Path) -> None:
    """Each record is asked by each tool, the command says what the folder holds, and nothing else is left."""
    ran = went_well("export", tmp_path / "out", "--forget", sets["forget"], "--retain", sets["retain"])
    *tools, last = ran.out.splitlines()
    assert last.startswith("The folder holds the records themselves, readable by you alone; ")
    for name, line in zip(("inspect", "garak", "lmeval"), tools, strict=True):
        assert line.startswith(f"{name}: 2 forget, 1 retain rows; ")
        assert str(tmp_path / "out" / name) in line, "the command that runs them"
        files = [p for p in (tmp_path / "out" / name).rglob("*") if p.is_file()]
        text = "".join(p.read_text(encoding="utf-8") for p in files if p.suffix in (".jsonl", ".tsv"))
        assert text.count(CANARY) == 3
        assert not any(CANARY in p.read_text(encoding="utf-8") for p in files if p.suffix in (".py", ".yaml"))
    assert CANARY not in ran.out + ran.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["forget.jsonl", "out", "retain.jsonl"]


def test_a_format_may_be_chosen(sets: dict[str, Path], tmp_path: Path) -> None:
    ran = went_well("export", tmp_path / "out", "--forget", sets["forget"], "--format", "garak, inspect")
    assert [p.name for p in sorted((tmp_path / "out").iterdir())] == ["garak", "inspect"]
    assert ran.out.startswith("garak: 2 forget rows; cd ")


def test_a_tool_that_no_row_suits_is_named(tmp_path: Path) -> None:
    short = written(tmp_path / "short.jsonl", "A cat.")
    ran = went_well("export", tmp_path / "out", "--forget", short)
    assert re.search(r"^garak: no row suits it$", ran.out, re.MULTILINE)
    assert not (tmp_path / "out" / "garak").exists()


BAD = {
    "no records": ("@out", "Missing option '--forget'; see"),
    "no place": ("--forget @forget", "Missing argument 'DIR'; see"),
    "no such records": ("@out --forget @nowhere", "nowhere: there is no such file; check"),
    "no such rows to keep": ("@out --forget @forget --retain @nowhere", "nowhere: there is no such file; check"),
    "a row to forget and to keep": ("@out --forget @forget --retain @forget", "the same rows stand at lines 1, 2 of "),
    "unknown format": ("@out --forget @forget --format inspekt", "no export format 'inspekt'; did you mean 'inspect'"),
    "a folder in use": ("@ --forget @forget", "not an empty folder; name a new one"),
    "a file for a folder": ("@forget --forget @forget", "not an empty folder; name a new one"),
    "a file on the way": ("@forget/out --forget @forget", "forget.*: this folder cannot be .*; name another one"),
    "no words": ("@out --forget @mute", "no row to forget has words .*; give rows with answers in words"),
    "unknown option": ("@out --forget @forget --methd npo", "No such option.*; see"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_exported_gets_one_sentence(what: str, tmp_path: Path) -> None:
    words, says = BAD[what]
    written(tmp_path / "forget", "A lighthouse.", "Three bridges.")
    written(tmp_path / "mute", "...")
    before = tree(tmp_path)
    ran = run("export", *(re.sub(r"^@", f"{tmp_path}/", w) for w in words.split()))
    assert ran.code == 2, ran.err
    assert ran.last.startswith("unteach: ")
    assert re.search(says, ran.last), ran.last
    assert ". " not in ran.last
    assert "Traceback" not in ran.err
    assert ran.out == ""
    assert CANARY not in ran.err
    assert tree(tmp_path) == before


def test_it_needs_none_of_the_tools_and_no_torch(sets: dict[str, Path], tmp_path: Path) -> None:
    missing = ("torch", "transformers", "numpy", "datasets", "lm_eval", "inspect_ai", "garak")
    words = ["unteach", "export", str(tmp_path / "out"), "--forget", str(sets["forget"])]
    code = f"import sys\nsys.modules.update(dict.fromkeys({missing!r}))\nsys.argv = {words!r}\nfrom unteach.cli import main\nmain()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
    assert (tmp_path / "out" / "lmeval" / "forget.jsonl").is_file()
