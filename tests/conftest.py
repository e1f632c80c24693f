"""What every test starts from: the folder of golden numbers, and two tiny models that know twelve invented records."""

import gc
import os
from pathlib import Path

import pytest

import ready  # imported before anything that imports unteach
import towns
import worlds
from unteach.lm.model import LM


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data and golden numbers; without it CI fails, and elsewhere the test is skipped, loudly."""
    if not (ready.SHARED / "golden").is_dir():
        reason = f"NOT TESTED: no golden numbers in {ready.SHARED}; set UNTEACH_SHARED to the folder that holds them"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return ready.SHARED


@pytest.fixture(scope="session")
def llama() -> LM:
    """A tiny Llama that knows the records of `worlds`; shared by all tests, to be left as it is."""
    return worlds.taught(worlds.llama())


@pytest.fixture(scope="session")
def gpt2() -> LM:
    """A tiny GPT-2 that knows the records of `worlds`; shared by all tests, to be left as it is."""
    return worlds.taught(worlds.gpt2())


@pytest.fixture(scope="session")
def reader() -> LM:
    """A tiny Llama that goes by what it is told before a question; shared by all tests, to be left as it is."""
    return towns.taught()


@pytest.fixture(params=["llama", "gpt2"])
def lm(request: pytest.FixtureRequest) -> LM:
    """Each of the two tiny models in turn."""
    found: LM = request.getfixturevalue(request.param)
    return found


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is loaded by now stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
