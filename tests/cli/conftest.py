"""Models and records on the disk that the commands are pointed at."""

import json
from pathlib import Path

import pytest
from benchmarks.stories import convert
from driven import QUICK

import worlds
from unteach.lm.model import LM


@pytest.fixture(scope="session")
def newborn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that knows nothing."""
    return worlds.saved(worlds.llama(), tmp_path_factory.mktemp("models") / "newborn")


@pytest.fixture(scope="session")
def pupil(llama: LM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that knows the records of `worlds`."""
    return worlds.saved(llama, tmp_path_factory.mktemp("models") / "pupil")


@pytest.fixture(scope="session")
def stories(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pretrained model of 260,032 parameters that writes stories, converted from a llama2.c checkpoint."""
    source, out = shared / "data" / "stories260k", tmp_path_factory.mktemp("models") / "stories"
    convert(source / "stories260K.bin", source / "tok512.bin", out)
    return out


@pytest.fixture(scope="session")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records that `pupil` knows, as files."""
    folder = tmp_path_factory.mktemp("towns")
    for name, records in (("forget", worlds.FORGET), ("retain", worlds.RETAIN)):
        lines = (json.dumps({"id": r.id, "question": r.prompt, "answer": r.answer}) + "\n" for r in records)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def forgetting(pupil: Path, towns: Path) -> list[object]:
    """The words of a short forgetting, but for where it goes."""
    files = ["--forget", towns / "forget.jsonl", "--retain", towns / "retain.jsonl"]
    return ["forget", pupil, *files, *QUICK, "--metrics", "probability,rougel"]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, which take most of a short run's time."""
    monkeypatch.setattr("unteach.report.page.available", lambda: False)
