"""The tiny models that know some of TOFU, their rows, and the tokens that open-unlearning gives them."""

import json
from pathlib import Path
from typing import Any

import torch

from unteach.audit.evidence import Evidence
from unteach.audit.suite import DEFAULT
from unteach.lm.batch import Row
from unteach.lm.encoder import Encoder, Template
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import Record

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


def perturbed05(shared: Path) -> LM:
    lm = spoil(opened(shared, "tiny_tofu_llama"), sigma=0.05, seed=1)
    lm.encoder = MergingEncoder(lm.tokenizer, lm.template, lm.max_length)
    return lm


def gathered(
    lm: LM, name: str, sets: dict[str, list[Record]], logs: dict[str, Any], retrained: Evidence | None = None
) -> Evidence:
    said = {
        item["input"]: item["generation"]
        for part, log in logs[name].items() if part.endswith("_ROUGE")
        for item in log["value_by_index"].values()
    }  # fmt: skip
    lm.encoder = MergingEncoder(lm.tokenizer, lm.template, lm.max_length)
    lm.generate = lambda prompts, _max_new, **_: [said.get(f"[INST] {r.prompt} [/INST]", "") for r in prompts]
    found = Evidence(lm, sets, name=name, roles=ROLES, retrained=retrained)
    found.gather((m.needs, s) for m in DEFAULT.build() for s in sets if ROLES[s] in m.directions)
    found.close()
    return found
