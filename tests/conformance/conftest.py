"""Each subject in turn, and what it makes of the whole request."""

from collections.abc import Iterator

import pytest
from subjects import REQUEST, SUBJECTS, WHOLE, Subject, standing

from unteach.edit.edit import Edit
from unteach.lm.model import LM
from unteach.registry import Entry

_WHOLE: dict[tuple[str, Entry], Edit] = {}


@pytest.fixture(params=SUBJECTS, ids=lambda s: f"{s.entry.kind}-{s.entry.name}")
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@pytest.fixture
def edit(lm: LM, subject: Subject) -> Edit:
    """What the subject makes of the whole request; made once in a session."""
    key = (lm.digest(), subject.entry)
    if key not in _WHOLE:
        _WHOLE[key] = subject.method(WHOLE)(lm, REQUEST)
    return _WHOLE[key]


@pytest.fixture
def untouched(lm: LM) -> Iterator[None]:
    """The model stands as it stood when the test is over."""
    before = standing(lm)
    yield
    assert standing(lm) == before
