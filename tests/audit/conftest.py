"""Tiny models that know some of TOFU, the rows they were asked, and what open-unlearning measured on them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from unteach.audit.evidence import Evidence
from unteach.audit.suite import DEFAULT
from unteach.lm.batch import Encoder, Row, Template
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import Record

SHARED = Path(os.environ.get("UNTEACH_SHARED", Path(__file__).parents[2] / ".." / "shared")).resolve()
TEMPLATE = Template("[INST] {prompt} [/INST]{answer}")
ROLES = {
    "forget": "forget",
    "retain": "retain",
    "real_authors": "general",
    "world_facts": "general",
    "holdout": "holdout",
}
FILES = {
    "forget": "forget10_perturbed",
    "retain": "retain_perturbed",
    "real_authors": "real_authors_perturbed",
    "world_facts": "world_facts_perturbed",
    "holdout": "holdout10",
}


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


def rows(path: Path) -> list[Record]:
    found = []
    for i, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        reworded = row.get("paraphrased_question")
        found.append(
            Record(
                str(i), row["question"], row["answer"], restated=row.get("paraphrased_answer", ""),
                perturbed=tuple(row.get("perturbed_answer", ())), paraphrases=(reworded,) if reworded else (),
            )
        )  # fmt: skip
    return found


class MergingEncoder(Encoder):
    """Tokenises prompt and answer as one text and begins the answer after as many tokens as the prompt has.

    Where the tokenizer merges the last character of the prompt with the first of the answer, that token, and so
    the first character of the answer, is not measured. open-unlearning does this.
    """

    def row(self, record: Record) -> Row:
        head = f"[INST] {record.prompt} [/INST]"
        whole = self.tokenizer(head + record.answer)["input_ids"]
        return Row((*whole, *self.closing), len(self.tokenizer(head)["input_ids"]))


def opened(shared: Path, name: str) -> LM:
    return load(shared / "golden" / name, template=TEMPLATE)


def spoil(lm: LM, *, sigma: float, seed: int) -> LM:
    """Add sigma * N(0, 1), tensor by tensor in state order; the tied head is spoiled once, as the embedding."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in lm.model.state_dict().items():
            if name != "lm_head.weight":
                tensor += sigma * torch.randn(tensor.shape)
    return lm


@pytest.fixture
def full(shared: Path) -> LM:
    return opened(shared, "tiny_tofu_llama")


@pytest.fixture
def retrained(shared: Path) -> LM:
    return opened(shared, "tiny_tofu_llama_retain90")


@pytest.fixture(scope="session")
def logs(golden: Path) -> dict[str, Any]:
    names = {"original": "full", "retrained": "retain", "perturbed05": "perturbed05"}
    return {
        ours: json.loads((golden / f"eval_tofu_{theirs}.json").read_text(encoding="utf-8"))
        for ours, theirs in names.items()
    }


def _perturbed05(shared: Path) -> LM:
    lm = spoil(opened(shared, "tiny_tofu_llama"), sigma=0.05, seed=1)
    lm.encoder = MergingEncoder(lm.tokenizer, lm.template, lm.max_length)
    return lm


@pytest.fixture(scope="session")
def asked(shared: Path, sets: dict[str, list[Record]], logs: dict[str, Any]) -> dict[str, Evidence]:
    """The golden models' answers with open-unlearning's tokens; generations are the logged ones.

    The perturbed model is asked everything, the other two what the forget set needs.
    """
    forget = {name: sets[name] for name in ("forget", "holdout")}
    retrained = _gathered(opened(shared, "tiny_tofu_llama_retain90"), "retrained", forget, logs)
    return {
        "retrained": retrained,
        "original": _gathered(opened(shared, "tiny_tofu_llama"), "original", forget, logs, retrained),
        "perturbed05": _gathered(_perturbed05(shared), "perturbed05", sets, logs, retrained),
    }


def _gathered(
    lm: LM, name: str, sets: dict[str, list[Record]], logs: dict[str, Any], retrained: Evidence | None = None
) -> Evidence:
    said = {
        item["input"]: item["generation"]
        for part, log in logs[name].items() if part.endswith("_ROUGE")
        for item in log["value_by_index"].values()
    }  # fmt: skip
    lm.encoder = MergingEncoder(lm.tokenizer, lm.template, lm.max_length)
    lm.generate = lambda prompts, _max_new: [said.get(f"[INST] {r.prompt} [/INST]", "") for r in prompts]
    found = Evidence(lm, sets, name=name, roles=ROLES, retrained=retrained)
    found.gather((m.needs, s) for m in DEFAULT.build() for s in sets if ROLES[s] in m.directions)
    found.close()
    return found


@pytest.fixture(scope="session")
def written(shared: Path, sets: dict[str, list[Record]]) -> Evidence:
    """What the perturbed model really writes when it is asked the forget questions."""
    found = Evidence(_perturbed05(shared), {"forget": sets["forget"]}, name="perturbed05")
    found.generated("forget")
    found.close()
    return found
