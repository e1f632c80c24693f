"""The house keeps its order: imports run downhill, files and functions stay small, the light core stays light."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "unteach"
FLOORS = "schema > registry > lm report > measure > edit data > methods audit > assemble > recipe recipefile flags machine parts > sets > inquiry corrected tracing > reach > jobs compare shadows > demo > service > cli > __init__ __main__"
FLOOR = {room: height for height, rooms in enumerate(FLOORS.split(" > ")) for room in rooms.split()}
OPTIONAL = {  # numpy: with matplotlib
    *(
        "datasets",
        "pyarrow",
        "matplotlib",
        "model_signing",
        "numpy",
        "datasketch",
        "huggingface_hub",
        "openai",
        "sentence_transformers",
        "ray",
        "spacy",
        "presidio_analyzer",
        "usearch",
        "qdrant_client",
    )
}
CORE = {  # what a bare install has
    *("typer", "click", "rich", "pydantic", "yaml", "jinja2", "markupsafe", "cryptography", "rfc8785")
}
TAKES_ANY = {
    ("unteach.flags", "command"),  # it is handed the flags that its classes name
    ("unteach.lm.packed", "_attention"),  # and these what a library hands to each of its own
    ("unteach.lm.trace", "_as_it_came"),
    ("unteach.lm.roomy", "update"),
}
LIGHT = ("schema", "registry", "report", "data", "cli", "__init__")
VERIFIED_BY = {  # these too: a certificate is checked on a machine without a model
    *("service.canonical", "service.envelope", "service.keys", "service.predicate", "service.statement"),
    *("service.ledger", "service.verify", "service.evidence", "service.revocation", "service.told"),
}
FILES = sorted(SOURCE.rglob("*.py"))


def dotted(file: Path) -> str:
    name = ".".join(("unteach", *file.relative_to(SOURCE).with_suffix("").parts))
    return name.removesuffix(".__init__")


MODULES = {dotted(f): f for f in FILES}


def room(module: str) -> str:
    return (*module.split("."), "__init__")[1]


def family(module: str) -> str:
    return ".".join(module.split(".")[1:3])


def imported(node: ast.AST) -> list[str]:
    """The modules that one import statement loads (`from a import b` loads a.b where that is a module)."""
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    assert isinstance(node, ast.ImportFrom)
    assert node.level == 0, "imports name the whole path"
    inner = [f"{node.module}.{a.name}" for a in node.names if f"{node.module}.{a.name}" in MODULES]
    return [*inner, *([str(node.module)] if len(inner) < len(node.names) else [])]


def imports(file: Path) -> Iterator[tuple[ast.AST, str, str]]:
    """Every import of a file: the statement, the module, and the function that holds it ("" outside of any)."""
    pending: list[tuple[ast.AST, str]] = [(ast.parse(file.read_text(encoding="utf-8")), "")]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = node.name
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node, module, inside) for module in imported(node))
        pending += [(child, inside) for child in ast.iter_child_nodes(node)]


def may_import(importer: str, wanted: str) -> bool:
    mine, theirs = room(importer), room(wanted)
    if mine == theirs:  # inside methods/ no family knows another
        return mine != "methods" or "." not in family(importer) or family(importer) == family(wanted)
    return FLOOR[theirs] < FLOOR[mine] and (mine, theirs) != ("audit", "methods") and theirs != "__init__"


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_downhill(name: str) -> None:
    assert room(name) in FLOOR, f"{name} lies in a room without a floor"
    for node, module, inside in imports(MODULES[name]):
        if module.split(".")[0] == "unteach":
            assert may_import(name, module), f"{name}, line {node.lineno}: may not import {module}"
        lazy = room(name) in ("cli", "__init__") or (name, inside, module) == (
            "unteach.registry",
            "checked",
            "pydantic",
        )
        assert not inside or lazy or module.split(".")[0] in OPTIONAL, f"{name}, line {node.lineno}: import in {inside}"
    assert "TYPE_CHECKING" not in MODULES[name].read_text(encoding="utf-8")


@pytest.mark.parametrize("start", [m for m in MODULES if room(m) in LIGHT or family(m) in VERIFIED_BY])
def test_the_light_core_loads_with_the_core_dependencies_alone(start: str) -> None:
    pending, seen = [start], {start}
    while pending:
        module = pending.pop()
        if module.split(".")[0] != "unteach":
            assert module.split(".")[0] in {*CORE, *sys.stdlib_module_names}, f"{start} loads {module}"
            continue
        parents = [module.rpartition(".")[0]] if "." in module else []
        found = [m for _, m, inside in imports(MODULES[module]) if not inside]
        pending += [m for m in (*parents, *found) if m not in seen]
        seen |= {*parents, *found}


@pytest.mark.parametrize("name", MODULES)
def test_files_and_functions_are_small_and_named_for_what_they_hold(name: str) -> None:
    text = MODULES[name].read_text(encoding="utf-8")
    assert not {"utils", "util", "helpers", "common", "base", "manager", "misc"} & set(name.split("."))
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 40, f"{name}: {node.name} is longer than 40 lines"
            taken = node.args.kwarg.arg if node.args.kwarg else ""
            assert not taken or (name, node.name) in TAKES_ANY, f"{name}: {node.name} takes **{taken}"


def test_the_rules_refuse_what_they_should() -> None:
    refused = [
        ("unteach.schema", "unteach.registry"),
        ("unteach.lm.view", "unteach.report.text"),
        ("unteach.report.text", "unteach.lm.view"),
        ("unteach.edit.edit", "unteach.data.read"),
        ("unteach.audit.audit", "unteach.methods.finetune.finetune"),
        ("unteach.methods.finetune.finetune", "unteach.audit.audit"),
        ("unteach.methods.facts.rome", "unteach.methods.finetune.finetune"),
        ("unteach.lm.view", "unteach"),
    ]
    allowed = [
        ("unteach.methods.finetune.graddiff", "unteach.methods.finetune.finetune"),
        ("unteach.cli", "unteach.schema"),
        ("unteach.methods.facts.rome", "unteach.edit.edit"),
    ]
    assert not [pair for pair in refused if may_import(*pair)]
    assert all(may_import(*pair) for pair in allowed)
