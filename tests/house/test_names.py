"""The public face: the names the stub documents are the names there are, and none of them costs a torch import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import unteach

STUB = Path(unteach.__file__).with_suffix(".pyi")


def documented(stub: str) -> set[str]:
    """The public names that a stub declares: definitions, and re-exports, which are imported `as` their public name."""
    found: set[str] = set()
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ImportFrom):
            found |= {a.asname for a in node.names if a.asname}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {n for n in found if not n.startswith("_") or n == "__version__"}


def test_all_is_what_the_stub_documents() -> None:
    stub = STUB.read_text(encoding="utf-8")
    names = documented(stub)
    assert names
    assert sorted(unteach.__all__) == sorted(names)
    listed = [n.value for n in ast.parse(stub).body if isinstance(n, ast.Assign)]
    assert [sorted(ast.literal_eval(value)) for value in listed] == [sorted(names)]


def test_every_name_resolves_and_is_offered() -> None:
    for name in unteach.__all__:
        assert getattr(unteach, name) is not None
    assert set(unteach.__all__) <= set(dir(unteach))


def test_importing_the_face_loads_no_torch() -> None:
    heavy = ("torch", "transformers", "peft", "accelerate", "numpy", "scipy", "datasets", "pydantic", "matplotlib")
    code = f"import sys, unteach; print(*({heavy!r} & sys.modules.keys()))".replace("('", "{'").replace("')", "'}")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


@pytest.mark.parametrize("command", ["", "forget", "audit", "list", "show", "demo", "undo"])
def test_help_answers_without_torch(command: str) -> None:
    code = f"""
import sys
sys.argv = ["unteach", *{command.split()!r}, "--help"]
from unteach.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
print("torch" in sys.modules, "transformers" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"


def test_the_stub_reader_sees_names() -> None:
    stub = "from a import B as B, c, g as h\ndef d() -> int: ...\n__version__: str\n_e: int\nclass F: ...\n"
    assert documented(stub) == {"B", "d", "h", "__version__", "F"}
