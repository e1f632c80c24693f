"""Each subject in turn, and what it makes of the whole request."""

from collections.abc import Iterator

import pytest
from subjects import SHORT, SUBJECTS, WHOLE, Subject, made, standing

from unteach.edit.edit import Edit
from unteach.lm.model import LM


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
