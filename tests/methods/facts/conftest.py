"""Models that know invented facts, beside golden runs on them."""

from pathlib import Path

import pytest
from golden_edits import Golden

from unteach.lm.load import load
from unteach.methods.facts.background import Background


@pytest.fixture(params=["gpt2", "llama"])
def golden(request: pytest.FixtureRequest, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Golden:
    """Golden runs on each family; second moments are the reference's own."""
    found = Golden(shared / "golden/easyedit", request.param, load(shared / f"golden/tiny_facts_{request.param}"))
    monkeypatch.setattr(Background, "moments", lambda _self, _lm, _request, layers: found.moments(layers))
    return found
