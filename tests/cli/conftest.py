"""Models on the disk that the commands are pointed at."""

from pathlib import Path

import pytest
from benchmarks.stories import convert

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
