"""Every command and code block of the README and of the pages runs, as it is printed.

`sh` blocks run line by line, `python` blocks of a page one after another in one namespace, and a block with a
title is a file. A page begins in a fresh copy of the world in `conftest`. The pages of the reports that the commands
write are left without figures: they take longer than all else, and have tests of their own.
"""

import ast
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from pages import PAGES, ROOT, Block, blocks

from unteach import cli, registry
from unteach.lm.anatomy import FAMILIES
from unteach.report import page

BEGINS_AFTER_FORGETTING = {"report.md"}
ADDRESS = "http://localhost:8000/v1"  # on the pages; a server of the tests' own stands in for it
SHOWN = {"text", "json", "toml"}  # languages that nothing runs
NOT_RUN = {  # command: why, for each that would not end in seconds or would need the network
    "make demo": "minutes",
    "make test": "this test is part of it",
    "unteach serve http://localhost:8000/v1 --config gateway.yaml": "serves until it is told to end",
    "python3.11 -m venv .venv": "installs",
    '.venv/bin/pip install -c constraints.txt -e ".[train]"': "installs",
}
HELD = [(path, block) for path in PAGES for block in blocks(path)]


@contextmanager
def own_names(place: Path) -> Iterator[None]:
    """What is imported or registered from files in the folder is gone after it, as it is when a process ends."""
    modules = set(sys.modules)
    try:
        with patch.dict(FAMILIES):
            yield
    finally:
        files = {n: getattr(sys.modules[n], "__file__", None) for n in set(sys.modules) - modules}
        gone = {n for n, file in files.items() if file and Path(file).parent == place}
        for name in gone:
            del sys.modules[name]
        for key in [k for k, thing in registry._LIVE.items() if thing.__module__ in gone]:
            del registry._LIVE[key]


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with own_names(Path.cwd()), pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code, command


@pytest.fixture(autouse=True)
def _no_figures_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "available", lambda: False)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # between PEFT and Transformers
@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p)], ids=lambda p: p.name)
def test_every_block_of_a_page_runs(
    path: Path,
    world: Path,
    served: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = shutil.copytree(world, tmp_path / "world")
    if path.name in BEGINS_AFTER_FORGETTING:
        shutil.copytree(request.getfixturevalue("result"), place / "result")
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    names: dict[str, object] = {"__name__": f"page_{path.stem}"}
    with own_names(place):
        for block in blocks(path):
            if block.title:
                (place / block.title).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                exec(compile("\n" * block.line + block.text, str(path), "exec"), names)
            elif block.language == "sh":
                for command in block.commands:
                    if command not in NOT_RUN:
                        assert command.startswith("unteach "), f"{path.name}, line {block.line}: {command}"
                        run(command.replace(ADDRESS, served), monkeypatch)
    if path.name == "forget.md":
        _as_the_guide_lists(path, place / "result")


def _as_the_guide_lists(path: Path, folder: Path) -> None:
    """The guide's listing of the folder names what is there, and nothing else."""
    listing = next(b for b in blocks(path) if b.text.startswith("result/"))
    assert set(re.findall(r"^  ([\w.]+)", listing.text, re.MULTILINE)) == {p.name for p in folder.iterdir()}


@pytest.mark.parametrize(("path", "block"), HELD, ids=lambda x: x.name if isinstance(x, Path) else str(x.line))
def test_every_block_says_what_it_is(path: Path, block: Block) -> None:
    assert block.title or block.language in {"sh", "python", *SHOWN}, f"{path.name}, line {block.line}"
    if block.language == "toml":
        tomllib.loads(block.text)


def test_what_is_not_run_is_there_to_be_run() -> None:
    shown = {c for _, block in HELD if block.language == "sh" for c in block.commands}
    assert set(NOT_RUN) <= shown, "a reason without a command"
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for command in NOT_RUN:
        if command.startswith("make "):
            assert command.removeprefix("make ") in targets
        if found := re.search(r"\.\[(\w+)]", command):
            assert found[1] in extras
        if command.startswith("python -m benchmarks "):
            assert command.split()[3] in benchmarks()


def benchmarks() -> dict[str, str]:
    """The names that `python -m benchmarks` knows."""
    tree = ast.parse((ROOT / "benchmarks" / "__main__.py").read_text(encoding="utf-8"))
    value = next(n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "NAMES")
    return ast.literal_eval(value)
