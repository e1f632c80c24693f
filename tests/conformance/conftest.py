"""Each subject in turn, and what it makes of the whole request."""

from collections.abc import Iterator
from hashlib import sha256

import pytest
from subjects import SHORT, SUBJECTS, WHOLE, Subject, made, standing

from unteach.edit.edit import Edit
from unteach.lm.model import LM

FAMILIES = ("llama", "gpt2")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A subject is tried on one of the two families, which its name draws; on the other one among the slow tests."""
    for item in items:
        given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        tried, family = given.get("subject", given.get("corrector")), given.get("lm", given.get("family"))
        if isinstance(tried, Subject) and family not in (None, _drawn(tried.entry.name)):
            item.add_marker(pytest.mark.slow)


def _drawn(name: str) -> str:
    return FAMILIES[sha256(name.encode()).digest()[0] % len(FAMILIES)]


@pytest.fixture(params=SUBJECTS, ids=lambda s: f"{s.entry.kind}-{s.entry.name}")
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@pytest.fixture
def edit(lm: LM, subject: Subject) -> Edit:
    """What the subject makes of the whole request, in as long a training as it takes to see what it does here."""
    return made(lm, subject.method(SHORT if subject.corrects else WHOLE), subject.request)


@pytest.fixture
def untouched(lm: LM) -> Iterator[None]:
    """The model stands as it stood when the test is over."""
    before = standing(lm)
    yield
    assert standing(lm) == before
