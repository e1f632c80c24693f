"""Twenty steps of two micro-batches each through `train`, beside runs of open-unlearning's own trainer.

Warm-up, decay, weight decay on matrices alone, accumulation, clipping and the memory of the reference are all in it.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from published import Golden, noted, said
from torch import Tensor

from unteach.edit.patches import Put
from unteach.edit.plan import Plan, Step
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.lm.batch import Row
from unteach.lm.encoder import Encoder
from unteach.lm.model import LM
from unteach.methods.finetune.objectives import NLL
from unteach.methods.finetune.preference import NPO, SimNPO
from unteach.schema import Need, Record

WARM, STEPS = 5, 20
PLAN = Plan(tune="full", lr=1e-3, batch_size=8, accumulate=2)
FILES = {"forget": "data/forget10.json", "retain": "data/retain90.json"}
NEEDS: dict[str, frozenset[Need]] = {
    "NPO": frozenset({"forget", "retain", "reference"}),
    "SimNPO": frozenset({"forget", "retain"}),
}


class TheirEncoder(Encoder):
    """Prompt and answer as one text, and the answer from the token on that follows as many as the prompt has.

    Where the prompt's last character and the answer's first make one token, theirs asks the model for an answer
    behind a token that it never meets when it is asked the prompt alone; ours does not. 40 of the 800 rows differ.
    """

    def row(self, record: Record) -> Row:
        asked = f"[INST] {record.prompt} [/INST]"
        ids = self.tokenizer(asked + record.answer)["input_ids"]
        return Row((*ids, self.tokenizer.eos_token_id), len(self.tokenizer(asked)["input_ids"]))


@pytest.fixture(scope="module")
def rows(golden: Golden) -> dict[str, list[Record]]:
    """The rows of both sets, each named by its place."""
    found = {}
    for side, name in FILES.items():
        lines = (golden.folder / "open_unlearning" / name).read_text(encoding="utf-8").splitlines()
        given = map(json.loads, lines)
        found[side] = [Record(str(i), row["question"], row["answer"]) for i, row in enumerate(given)]
    return found


@pytest.fixture(scope="module")
def runs(golden: Golden) -> dict[str, Any]:
    found: dict[str, Any] = golden.read("trainer_run.json")["runs"]
    return found


def rates(run: Mapping[str, Any]) -> list[float]:
    """The rate of each step: their log tells the one that comes after it, and the first is 0."""
    logged = [line["learning_rate"] for line in run["log"] if "learning_rate" in line]
    return [0.0, *logged[:-1]]


def test_the_plan_gives_their_rates_but_for_a_first_step_that_goes_nowhere(runs: dict[str, Any]) -> None:
    """Their warm-up begins at 0, ours a step further: our 19 steps with 4 of warm-up are their 20 with 5, from the second."""
    theirs = rates(runs["tiny_tofu_llama/GradDiff"])
    plan = Plan(lr=1e-3, warmup_epochs=WARM - 1)
    ours = [plan.rate(step, STEPS - 1, 1) for step in range(STEPS - 1)]
    assert ours == pytest.approx(theirs[1:], rel=1e-9)
    assert theirs[0] == 0


def test_tokens_across_the_border_of_prompt_and_answer(golden: Golden, rows: dict[str, list[Record]]) -> None:
    ours = golden.reference.encoder
    theirs = TheirEncoder(ours.tokenizer, ours.template, ours.max_length)
    differ = [r for side in rows.values() for r in side if theirs.row(r) != ours.row(r)]
    assert len(differ) == 40
    for record in differ:
        asked = ours.prompt(record.prompt)
        assert ours.row(record).ids[: len(asked)] == tuple(asked) != theirs.row(record).ids[: len(asked)]


@pytest.mark.parametrize("name", ["NPO", "SimNPO"])
def test_every_micro_batch_is_theirs(
    name: str, golden: Golden, rows: dict[str, list[Record]], runs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their rates are put in the place of the plan's; everything else is the plan."""
    run, lm, losses = runs[f"tiny_tofu_llama_perturbed05/{name}"], golden.policy("perturbed05"), []
    lm.encoder = TheirEncoder(lm.tokenizer, lm.template, lm.max_length)
    args, given = run["method_args"], rates(run)
    goal: Any = NPO(args["beta"]) if name == "NPO" else SimNPO(args["beta"], args["beta"] * args["delta"])

    def loss(now: Sides, before: Sides) -> Tensor:
        kept = args["alpha"] * NLL()(now.retain, before.retain)
        total = args["gamma"] * goal(now.forget, before.forget) + kept
        losses.append(total.item())
        return total

    monkeypatch.setattr(Plan, "rate", lambda _plan, step, _steps, _per_epoch: given[step])
    with noted() as norms:
        edit, _ = train(lm, Task(**rows, loss=loss, needs=NEEDS[name]), PLAN, order=lambda *_: steps_of(run))
    assert losses == close(run["micro_losses"])
    assert norms == close([line["grad_norm"] for line in run["log"] if "grad_norm" in line])
    assert distance(lm, edit.weights) == close(run["distance_from_start_l2"])
    with edit.on(lm):
        for side, records in rows.items():
            assert said(lm, records[:8]) == close(run[f"final_{side}_nll_rows0_8"])


def steps_of(run: Mapping[str, Any]) -> tuple[Step, ...]:
    return tuple(
        Step(tuple(f"forget/{i}" for i in batch["forget"]), tuple(f"retain/{i}" for i in batch["retain"]), 0)
        for batch in run["micro_batches"]
    )


def close(expected: Any) -> Any:
    return pytest.approx(expected, rel=1e-4, abs=1e-6)


@torch.no_grad()
def distance(lm: LM, weights: Mapping[str, tuple[Any, ...]]) -> float:
    """How far all weights together have moved."""
    gaps = []
    for name, parameter in lm.parameters().items():
        (put,) = weights[name]
        assert isinstance(put, Put)
        gaps.append((put.value - parameter).norm())
    return torch.stack(gaps).norm().item()
