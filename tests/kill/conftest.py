"""A folder in memory, where the system has such a thing: what is tested is the order of writes, not the disk."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture
def desk() -> Iterator[Path]:
    """An empty folder."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(dir=memory) as name:
        yield Path(name).resolve()
