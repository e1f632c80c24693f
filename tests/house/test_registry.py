"""The registry reads the source as Python itself does, refuses by name, and grows by one file."""

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

import pytest

from unteach import registry
from unteach.schema import InputError

ROOT = Path(__file__).parents[2]
NAMES = Path(os.environ.get("UNTEACH_SHARED", ROOT.parent / "shared")) / "spec" / "names.md"
NOT_IN_THE_TABLE = {  # why it is here all the same
    ("objective", "anchor"): "the retain term that RMU was published with",
    ("objective", "drift"): "the retain term that rerouting was published with",
    ("objective", "rerouting"): "circuit breakers, which attacks on hidden knowledge are measured against",
    ("method", "tamperresistance"): "forgetting made to withstand relearning, which the attack of that name measures",
    ("benchmark", "crowspairs"): "the rows of the metric of that name",
    ("benchmark", "stereoset"): "the rows of the metric of that name",
    ("benchmark", "winobias"): "the rows of the metric of that name",
    ("guard", "ike"): "what the method of that name puts on",
    ("guard", "quark"): "what the method of that name puts on",
    ("guard", "serac"): "what the method of that name puts on",
    ("metric", "accuracy"): "the choice between right and wrong answers, which the truth ratio is read beside",
    ("metric", "distinctoutputs"): "the gate against canned replies",
    ("metric", "miaconfidence"): "the gate against answers that were taught in place of the forgotten ones",
    ("metric", "paraphrase"): "the gate against forgetting one wording only",
    ("method", "guarded"): "guards by their names, and chains of them, wherever a method is asked for",
    ("attack", "guardlist"): "guards name whom they hide; an audit has to see it",
    ("command", "clean"): "how the passes over data are run",
    ("command", "export"): "a forget set as tests for other tools, which an audit by others needs",
    ("command", "revoke"): "a certificate that turns out wrong has to be taken back",
    ("command", "sign"): "who is handed a model's folder wants to know that these are the bytes",
    ("command", "reword"): "wrong answers and other wordings, which several metrics need, for rows that have none",
    ("command", "shadows"): "the models that the likelihood-ratio metrics compare with",
}
ENTRIES = registry.entries()
PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar
from unteach.registry import objective

@objective("halve", tested_by="test_halve")
@dataclass(frozen=True)
class Halve:
    """Half of something. Nobody 2020, arXiv:2001.00001."""

    needs: ClassVar[frozenset[str]] = frozenset({"forget", "labels"})
    share: float = 0.5
'''


def label(entry: registry.Entry) -> str:
    return f"{entry.kind} {entry.name}"


@pytest.fixture
def empty_handed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is forgotten after it, and installed plugins are looked for anew."""
    monkeypatch.setattr(registry, "_LIVE", dict(registry._LIVE))
    registry._sources.cache_clear()
    standing = set(sys.modules)
    yield
    registry._sources.cache_clear()
    for name in {m for m in sys.modules if m.startswith("unteach_")} - standing:
        del sys.modules[name]


def test_there_is_something_to_list() -> None:
    assert {"objective", "method", "metric"} <= {e.kind for e in ENTRIES}


@pytest.mark.parametrize("entry", ENTRIES, ids=label)
def test_the_listing_is_what_importing_gives(entry: registry.Entry) -> None:
    thing = registry.find(entry.kind, entry.name)
    assert thing.__registered__ == (entry.kind, entry.name, entry.tested_by)
    assert (thing.__module__, thing.__qualname__) == (entry.module, entry.qualname)
    assert entry.doc == (inspect.getdoc(thing) if thing.__doc__ else "")
    assert entry.summary == entry.doc.split("\n")[0]
    assert entry.summary
    assert entry.needs == tuple(sorted(getattr(thing, "needs", ())))
    assert entry.guarantee == (getattr(thing, "guarantee", None) or registry.PROMISES.get(entry.kind, ""))
    options = [f.name for f in fields(thing) if f.init] if is_dataclass(thing) else []
    assert [o.name for o in entry.options] == options


def test_nothing_is_registered_that_is_not_listed() -> None:
    source = Path(registry.__file__).parent
    listed = {(e.kind, e.name) for e in ENTRIES}
    for file in sorted(source.rglob("*.py")):
        if any(f"@{kind}(" in file.read_text(encoding="utf-8") for kind in registry.KINDS):
            dotted = ".".join(("unteach", *file.relative_to(source).with_suffix("").parts))
            for thing in vars(import_module(dotted.removesuffix(".__init__"))).values():
                if hasattr(thing, "__registered__"):
                    assert thing.__registered__[:2] in listed


@pytest.fixture(scope="module")
def test_names() -> frozenset[str]:
    trees = [ast.parse(f.read_text(encoding="utf-8")) for f in sorted((ROOT / "tests").rglob("test_*.py"))]
    functions = (n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))
    return frozenset(f.name for f in functions if f.name.startswith("test_"))


@pytest.mark.parametrize("entry", ENTRIES, ids=label)
def test_the_defining_property_is_tested(entry: registry.Entry, test_names: frozenset[str]) -> None:
    assert entry.tested_by in test_names, f"{label(entry)} names no existing test of its defining property"


@pytest.mark.skipif(not NAMES.is_file(), reason="the table of names lies outside the repository")
@pytest.mark.parametrize("entry", ENTRIES, ids=label)
def test_the_name_is_the_agreed_one(entry: registry.Entry) -> None:
    rows = re.findall(r"^\| (\w+) \| \w \| (.*?) \|$", NAMES.read_text(encoding="utf-8"), re.MULTILINE)
    agreed = {(kind, re.sub(r"\(.*", "", name)) for kind, names in rows for name in names.split()}
    assert (entry.kind, entry.name) in agreed or NOT_IN_THE_TABLE.get((entry.kind, entry.name))


def test_unknown_things_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"^there is no objective 'npoo'; did you mean 'npo'\?$"):
        registry.find("objective", "npoo")
    with pytest.raises(InputError, match=r"there is no method 'zzzz'; there are .*finetune"):
        registry.build("method", "zzzz", {})
    with pytest.raises(InputError, match=r"^objective 'npo' has no option 'betta'; it has beta$"):
        registry.build("objective", "npo", {"betta": 1})
    with pytest.raises(InputError, match=r"^method 'finetune' has no option 'plan.epochz'; it has .*plan\.epochs"):
        registry.build("method", "finetune", {"plan": {"epochz": 1}})


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("finetune", {"retain_weight": "canary"}, "retain_weight"),
        ("finetune", {"plan": {"rank": "canary"}}, "plan.rank"),
        ("finetune", {"plan": {"rank": 0}}, "plan"),
        ("finetune", {"plan": "canary"}, "plan"),
        ("graddiff", {"retain_term": "canary"}, "retain_term"),
    ],
)
def test_ill_typed_options_are_refused_by_name_without_their_value(name: str, options: dict, field: str) -> None:
    with pytest.raises(InputError, match=f"^method '{name}', option '{re.escape(field)}': ") as refused:
        registry.build("method", name, options)
    assert "canary" not in str(refused.value)


def test_options_may_come_as_text() -> None:
    assert registry.build("objective", "npo", {"beta": "0.25"}).beta == 0.25
    assert registry.build("method", "finetune", {"plan": {"rank": "4"}}).plan.rank == 4


@pytest.mark.usefixtures("empty_handed")
@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_a_file_of_the_users_own_registers(tmp_path: Path, future: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(future + PLUGIN, encoding="utf-8")
    registry.load_plugin(file)
    seen = registry.entry("objective", "halve")
    assert (seen.needs, seen.paper) == (("forget", "labels"), "Nobody 2020, arXiv:2001.00001")
    assert (seen.tested_by, seen.guarantee, [o.name for o in seen.options]) == ("test_halve", "empirical", ["share"])
    assert registry.build("objective", "halve", {"share": "0.25"}).share == 0.25
    with pytest.raises(InputError, match="objective 'halve' has no option 'x'; it has share"):
        registry.build("objective", "halve", {"x": 1})


@pytest.mark.usefixtures("empty_handed")
def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    registry.find("objective", "npo")
    file = tmp_path / "thief.py"
    file.write_text(PLUGIN.replace("halve", "npo"), encoding="utf-8")
    with pytest.raises(InputError, match="objective 'npo' is already registered by unteach"):
        registry.load_plugin(file)


@pytest.mark.parametrize("name", ["absent.py", "folder", "text.txt"])
def test_what_is_no_python_file_is_no_plugin(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=f"{name}: no such Python file"):
        registry.load_plugin(tmp_path / name)


@pytest.mark.usefixtures("empty_handed")
def test_an_installed_distribution_registers_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unteach_gift.py").write_text(PLUGIN, encoding="utf-8")
    about = tmp_path / "unteach_gift-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: unteach-gift\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[unteach]\ngift = unteach_gift\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    listed = registry.entry("objective", "halve")
    assert (listed.module, listed.family) == ("unteach_gift", "unteach_gift")
    assert "unteach_gift" not in sys.modules, "listing imports nothing"
    assert registry.build("objective", "halve", {}).share == 0.5


def test_listing_works_without_torch_and_finding_says_what_is_missing() -> None:
    code = """
import sys
for name in ("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "numpy", "scipy", "jaxtyping"):
    sys.modules[name] = None
from unteach import registry
from unteach.schema import InputError
print(len(registry.entries()))
try:
    registry.find("objective", "npo")
except InputError as missing:
    print(missing)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    count, sentence = done.stdout.splitlines()
    assert int(count) == len(ENTRIES)
    assert re.fullmatch(r"objective 'npo' needs the package '\w+'; install unteach\[train\]", sentence)
