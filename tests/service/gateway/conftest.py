"""An upstream that says what a test wants, one for each file of tests."""

from collections.abc import Iterator

import pytest
from running import stubbed
from stub import Stub


@pytest.fixture(scope="module")
def stub() -> Stub:
    return Stub()


@pytest.fixture(scope="module")
def url(stub: Stub) -> Iterator[str]:
    """The upstream's address."""
    with stubbed(stub) as found:
        yield found
