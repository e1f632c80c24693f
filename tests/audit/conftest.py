"""Tiny models that know some of TOFU, the rows they were asked, and what open-unlearning measured on them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import told
from tofu_models import FILES, gathered, opened, perturbed05, rows
from told import ToldLM

from unteach.audit.evidence import Evidence
from unteach.lm.model import LM
from unteach.measure.answers import Answer, ask
from unteach.schema import Record

SHARED = Path(os.environ.get("UNTEACH_SHARED", Path(__file__).parents[2] / ".." / "shared")).resolve()


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        message = f"golden numbers are missing: {SHARED} is no folder; set UNTEACH_SHARED"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return SHARED


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    return shared / "golden" / "open_unlearning"


@pytest.fixture(scope="session")
def sets(golden: Path) -> dict[str, list[Record]]:
    return {name: rows(golden / "data" / f"{file}.json") for name, file in FILES.items()}


@pytest.fixture
def full(shared: Path) -> LM:
    return opened(shared, "tiny_tofu_llama")


@pytest.fixture(scope="session")
def logs(golden: Path) -> dict[str, Any]:
    names = {"original": "full", "retrained": "retain", "perturbed05": "perturbed05"}
    return {
        ours: json.loads((golden / f"eval_tofu_{theirs}.json").read_text(encoding="utf-8"))
        for ours, theirs in names.items()
    }


@pytest.fixture(scope="session")
def asked(shared: Path, sets: dict[str, list[Record]], logs: dict[str, Any]) -> dict[str, Evidence]:
    """The golden models' answers with open-unlearning's tokens; generations are the logged ones.

    The perturbed model is asked everything, the other two what the forget set needs.
    """
    forget = {name: sets[name] for name in ("forget", "holdout")}
    retrained = gathered(opened(shared, "tiny_tofu_llama_retain90"), "retrained", forget, logs)
    return {
        "retrained": retrained,
        "original": gathered(opened(shared, "tiny_tofu_llama"), "original", forget, logs, retrained),
        "perturbed05": gathered(perturbed05(shared), "perturbed05", sets, logs, retrained),
    }


@pytest.fixture(scope="session")
def written(shared: Path, sets: dict[str, list[Record]]) -> Evidence:
    """What the perturbed model really writes when it is asked the forget questions."""
    found = Evidence(perturbed05(shared), {"forget": sets["forget"]}, name="perturbed05")
    found.generated("forget")
    found.close()
    return found


@pytest.fixture
def told_or_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told models say what they are told, real ones what they say."""

    def either(lm: ToldLM | LM, rows: list[Record], **options: bool) -> list[Answer]:
        return (told.ask if isinstance(lm, ToldLM) else ask)(lm, rows, **options)

    monkeypatch.setattr("unteach.audit.evidence.ask", either)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `datasets` would keep, it would keep here."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"
