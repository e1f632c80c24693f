"""Commands that do without torch: a report that is written again, what there is, what this machine has."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from driven import Ran, run, went_well

from unteach import cli, machine, registry


def alone(*words: object, without: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own that has not the packages named."""
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({list(without)!r}))\n"
        f"sys.argv = {['unteach', *map(str, words)]!r}\n"
        "from unteach.cli import main\n"
        "main()\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, env=env, timeout=120)


HEAVY = ("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "numpy", "scipy", "jaxtyping", "matplotlib", "datasketch", "datasets", "pyarrow")  # fmt: skip


def test_report_is_rendered_again_without_torch(forgetting: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    went_well(*forgetting, "--out", out)
    files = ("report.html", "report.md", "scores.csv", "records.csv", "table.tex", "MODEL_CARD.md", "report.json")
    before = {name: (out / name).read_bytes() for name in files}
    for name in files[:-1]:
        (out / name).unlink()
    done = alone("report", out, without=[n for n in HEAVY if n not in ("matplotlib", "numpy")], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == sorted(str(out / name) for name in files)
    assert {name: (out / name).read_bytes() for name in files} == before
    done = alone("report", out / "report.json", "--out", tmp_path / "elsewhere", without=HEAVY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in set(files) - {"report.html"}:  # the page lacks its figures, and says so
        assert (tmp_path / "elsewhere" / name).read_bytes() == before[name]
    ran = went_well("report", out, "--figures", "svg", "--out", tmp_path / "drawn")
    figures = [Path(line) for line in ran.out.splitlines() if line.endswith(".svg")]
    assert figures
    assert all(b"<svg" in f.read_bytes() for f in figures)
    assert len(before["report.html"]) > len((tmp_path / "elsewhere" / "report.html").read_bytes()) > 5_000


def test_list_shows_what_is_registered() -> None:
    entries = registry.entries()
    shown = went_well("list").out
    found = json.loads(went_well("list", "--json").out)
    assert [(e["kind"], e["name"]) for e in found] == [(e.kind, e.name) for e in entries]
    assert all(f" {e.name} " in shown for e in entries)
    for kind in registry.KINDS:
        part = json.loads(went_well("list", f"{kind}s" if kind != "data" else kind, "--json").out)
        assert [e["name"] for e in part] == [e.name for e in entries if e.kind == kind]
    assert {e["kind"] for e in found} <= set(registry.KINDS)


def test_show_gives_formula_and_options() -> None:
    shown = went_well("show", "npo").out
    (entry,) = (e for e in registry.entries("objective") if e.name == "npo")
    assert shown.startswith("objective npo\n")
    assert entry.doc in shown
    assert entry.paper in shown
    assert f"needs: {', '.join(entry.needs)}" in shown
    assert [(o.name, o.default) for o in entry.options] == [("beta", "0.1")]
    assert "  --beta: float = 0.1\n" in shown
    for e in registry.entries():
        assert f"{e.kind} {e.name}\n" in went_well("show", e.name).out


def test_doctor_and_env_answer_without_torch(tmp_path: Path) -> None:
    """So do --help, every COMMAND --help, list and show: one process asks them all."""
    commands = sorted(e.name for e in registry.entries("command"))
    questions = [["doctor"], ["env"], ["--help"], [], ["list"], ["show", "npo"], *([c, "--help"] for c in commands)]
    code = (
        "import json, sys\n"
        f"sys.modules.update(dict.fromkeys({list(HEAVY)!r}))\n"
        "from unteach.cli import main\n"
        f"for words in {questions!r}:\n"
        "    sys.argv = ['unteach', *words]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as ended:\n"
        "        print('\\n==', ended.code)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = re.split(r"\n== (\w+)\n", done.stdout)
    texts, codes = answers[:-1:2], answers[1::2]
    assert len(texts) == len(questions)
    assert set(codes[1:]) <= {"0", "None"}
    assert "extra [train]" in texts[0]
    assert "python: 3." in texts[1]
    assert texts[2].strip() == texts[3].strip()
    for text, command in zip(texts[6:], commands, strict=True):
        assert f"unteach {command}" in text or f" {command} " in text
    flags = texts[6 + commands.index("forget")]
    for flag in ("--forget", "--retain", "--lr", "--config", "--plugin", "--tune", "--release", "--show"):
        assert flag in flags
    assert "--before" in texts[6 + commands.index("audit")]


def declared() -> list[str]:
    """The requirements of the project's own file, as an installed package states them."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    return [*project["dependencies"], *(f"{line}; extra == '{name}'" for name, lines in extras for line in lines)]


def test_doctor_says_what_is_missing_and_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every extra is listed; what only some commands need may be missing."""
    monkeypatch.setattr(machine, "LEAST_DISK", 0)
    monkeypatch.setattr(machine, "requires", lambda _package: declared())

    def without(*names: str) -> Ran:
        monkeypatch.setattr(machine, "installed", lambda package: "" if package in names else "1.0")
        return run("doctor")

    ran = without("peft")
    assert ran.code == 1
    assert "missing  extra [train]: peft not installed; pip install 'unteach[train]'" in ran.out
    assert "ok       core" in ran.out
    ran = without()
    assert ran.code == 0
    extras = ["train", "hub", "judge", "ray", "pii", "embed", "usearch", "qdrant", "serve", "sign", "eval", "dev"]
    assert re.findall(r"ok {7}extra \[(\w+)\]", ran.out) == extras == list(machine.extras())[1:]
    ran = without("lm-eval", "datasets")
    assert ran.code == 0
    assert "missing  extra [eval]: lm-eval, datasets not installed; pip install 'unteach[eval]'" in ran.out
    assert "missing  extra [hub]: datasets not installed; pip install 'unteach[hub]'" in ran.out


def test_doctor_without_an_installed_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(machine, "requires", absent)
    monkeypatch.setattr(machine, "version", absent)
    ran = run("doctor")
    assert ran.code == 1
    assert "missing  core: unteach not installed; pip install unteach" in ran.out
