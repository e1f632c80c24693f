"""A folder in memory, where the system has such a thing: what is tested is the order of writes, not the disk."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from killed import PLAN, REQUEST

import worlds
from unteach.lm.fresh import Size, fresh
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune


@pytest.fixture
def desk() -> Iterator[Path]:
    """An empty folder."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(dir=memory) as name:
        yield Path(name).resolve()


@pytest.fixture(scope="session")
def newborn() -> LM:
    """Small, and knowing nothing: what counts here is bytes. Trained on once, so that the children start warm."""
    lm = fresh(worlds.TEXTS, Size(vocabulary=300, hidden=8, layers=1, heads=1, inner=16, positions=96))
    Finetune("dpo", plan=PLAN)(lm, REQUEST)
    return lm
