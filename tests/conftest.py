"""What every test starts from: one thread, checked shapes, two tiny models that know twelve invented records."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import jaxtyping
import pytest
import torch

torch.set_num_threads(1)
jaxtyping.install_import_hook("unteach", "shapes.checked")  # before unteach is imported: shapes are checked

import worlds
from unteach.lm.model import LM


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data and golden numbers; without it CI fails, and elsewhere the test is skipped, loudly."""
    folder = Path(os.environ.get("UNTEACH_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "golden").is_dir():
        reason = f"NOT TESTED: no golden numbers in {folder}; set UNTEACH_SHARED to the folder that holds them"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return folder


@pytest.fixture(scope="session")
def llama() -> LM:
    """A tiny Llama that knows the records of `worlds`; shared by all tests, to be left as it is."""
    return worlds.taught(worlds.llama())


@pytest.fixture(scope="session")
def gpt2() -> LM:
    """A tiny GPT-2 that knows the records of `worlds`; shared by all tests, to be left as it is."""
    return worlds.taught(worlds.gpt2())


@pytest.fixture(params=["llama", "gpt2"])
def lm(request: pytest.FixtureRequest) -> LM:
    """Each of the two tiny models in turn."""
    found: LM = request.getfixturevalue(request.param)
    return found
