"""The pages are fresh, whole and hang together."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from pages import DOCS, LINK, PAGES, ROOT, anchors, prose

from unteach.registry import Entry, entries

OUTSIDE = ("http://", "https://", "mailto:")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py as a module."""
    spec = spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_fresh(generate: ModuleType) -> None:
    for path, text in generate.generated().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale; run python docs/generate.py"


def test_a_page_that_differs_is_noticed_and_a_lost_mark_is_refused(generate: ModuleType) -> None:
    page = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"
    new = generate.spliced(page, "x", "new\n")
    assert new == "a\n<!-- begin x -->\n\nnew\n\n<!-- end x -->\nb\n"
    assert generate.spliced(new, "x", "new\n") == new
    with pytest.raises(SystemExit, match="'y'"):
        generate.spliced(page, "y", "new\n")


@pytest.mark.parametrize("entry", entries(), ids=lambda e: f"{e.kind}-{e.name}")
def test_everything_registered_is_documented(entry: Entry, generate: ModuleType) -> None:
    where, heading = generate.HEADINGS[entry.kind]
    part = (DOCS / where).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert f"### {entry.name}\n" in part
    if entry.kind != "command":  # of a command, the help
        assert entry.doc.strip() in part
    for option in entry.options:
        assert option.name == "plan" or f"| `{option.name}` |" in part
    assert f"`{entry.name}`" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if target.startswith(OUTSIDE):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.is_file(), f"{page.name}: {target}"
        assert path.is_relative_to(DOCS if page.parent == DOCS else ROOT), f"{page.name}: {target} leaves the site"
        assert not anchor or anchor in anchors(path), f"{page.name}: {target}"


def test_every_page_is_in_the_menu_once() -> None:
    def leaves(part: object) -> list[str]:
        if isinstance(part, dict):
            return [leaf for inner in part.values() for leaf in leaves(inner)]
        return [leaf for inner in part for leaf in leaves(inner)] if isinstance(part, list) else [str(part)]

    menu = leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(menu) == sorted(p.name for p in DOCS.glob("*.md"))


def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "forget.html").is_file()
    assert not (tmp_path / "generate.py").exists()
    for path in (*tmp_path.rglob("*.html"), *tmp_path.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""(\bsrc=|url\()["']?(https?:)?//""", text), path.name
        assert not re.search(r"""<link[^>]+rel="(stylesheet|preconnect)"[^>]+//""", text), path.name


def test_links_and_anchors_are_seen() -> None:
    assert LINK.findall("[a](b.md#c), ![d](e.svg) and (f)") == ["b.md#c", "e.svg"]
    assert "one-idea" in anchors(DOCS / "design.md")
    assert "two-ideas" not in anchors(DOCS / "design.md")
