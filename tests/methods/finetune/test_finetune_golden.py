"""Losses and gradient norms against those of the code that published them, on the same batch and models."""

import json
from collections.abc import Callable
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from unteach.lm.batch import Template
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.methods.finetune.objectives import DPO, GA, KL, NLL, NPO, SimNPO
from unteach.schema import Record

POLICIES = {  # how far, drawn from which seed, the digest of the weights, and the file of golden values
    "perturbed": (0.01, 0, "f0068266340672a3", "losses.json"),
    "perturbed05": (0.05, 1, "49dcc71c6eb00d05", "losses_sigma0.05.json"),
}
Sum = Callable[[dict[str, View], dict[str, View], dict[str, Any]], Tensor]


@pytest.fixture(scope="module")
def reference(shared: Path) -> LM:
    return load(shared / "golden/tiny_tofu_llama", template=Template("[INST] {prompt} [/INST]{answer}"))


@pytest.fixture(scope="module", params=POLICIES)
def policy(request: pytest.FixtureRequest, reference: LM) -> tuple[str, LM]:
    """The model after a step at random, by the recipe of the golden numbers."""
    sigma, seed, digest, _ = POLICIES[request.param]
    model = deepcopy(reference.model)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        state = {n: t for n, t in model.state_dict().items() if n != "lm_head.weight"}
        for tensor in state.values():
            tensor.add_(sigma * torch.randn_like(tensor))
    sha = sha256()
    for name in sorted(state):
        sha.update(name.encode() + state[name].numpy().tobytes())
    assert sha.hexdigest().startswith(digest)
    return request.param, LM(model, reference.tokenizer, template=reference.template)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden/open_unlearning"


def views(lm: LM, golden: Path) -> dict[str, View]:
    given = json.loads((golden / "batch.json").read_text())
    texts = {side: [(t["question"], t["answer"]) for t in given["texts"][side]] for side in ("forget", "retain")}
    texts["instead"] = [(q, a) for (q, _), a in zip(texts["forget"], given["alternate_texts"], strict=True)]
    runs = {
        side: lm.run(lm.batch([Record(str(i), *row) for i, row in enumerate(rows)])) for side, rows in texts.items()
    }
    instead = View(runs["instead"], slice(0, 8))
    return {"forget": View(runs["forget"], slice(0, 8), instead=instead), "retain": View(runs["retain"], slice(0, 8))}


def _ga(now: dict[str, View], before: dict[str, View], _args: dict[str, Any]) -> Tensor:
    return GA()(now["forget"], before["forget"])


def _npo(now: dict[str, View], before: dict[str, View], args: dict[str, Any]) -> Tensor:
    return NPO(args["beta"])(now["forget"], before["forget"])


def _simnpo(now: dict[str, View], before: dict[str, View], args: dict[str, Any]) -> Tensor:
    margin = args["beta"] * args["delta"]  # their code multiplies the paper's margin by beta
    return SimNPO(args["beta"], margin)(now["forget"], before["forget"])


def _dpo(now: dict[str, View], before: dict[str, View], args: dict[str, Any]) -> Tensor:
    return DPO(args["beta"])(now["forget"], before["forget"])


CASES: dict[str, Sum] = {
    "GradAscent": _ga,
    "GradDiff_NLL": _ga,
    "GradDiff_NLL_gamma0.3_alpha2": _ga,
    "NPO_beta0.1_NLL": _npo,
    "NPO_beta0.1_forget_only": _npo,
    "SimNPO_default": _simnpo,
    "SimNPO_forget_only_delta0.5_beta2.5": _simnpo,
    "DPO_idk_default": _dpo,
    "DPO_idk_forget_only": _dpo,
}


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradient_norms(case: str, policy: tuple[str, LM], reference: LM, golden: Path) -> None:
    name, lm = policy
    expected = json.loads((golden / POLICIES[name][3]).read_text())["methods"][case]
    args = expected["method_args"]
    with torch.no_grad():
        before = views(reference, golden)
        for side in before.values():
            _ = side.token_logps
        _ = before["forget"].instead.token_logps
    now = views(lm, golden)
    loss = args.get("gamma", 1.0) * CASES[case](now, before, args)
    if args.get("alpha"):
        assert args["retain_loss_type"] == "NLL"
        loss = loss + args["alpha"] * NLL()(now["retain"], before["retain"])
    gradients = torch.autograd.grad(loss, list(lm.model.parameters()))
    norm = torch.stack([g.norm() for g in gradients]).norm()
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-4, abs=1e-6)
    assert norm.item() == pytest.approx(expected["grad_norm"], rel=1e-4)
    for (parameter, _), g in zip(lm.model.named_parameters(), gradients, strict=True):
        assert g.norm().item() == pytest.approx(expected["grad_norm_per_parameter"][parameter], rel=2e-3, abs=1e-5)


@torch.no_grad()
def test_kl_at_answer_positions(policy: tuple[str, LM], reference: LM, golden: Path) -> None:
    name, lm = policy
    expected = json.loads((golden / "alternatives.json").read_text())[f"tiny_tofu_llama_{name}"]
    now, before = views(lm, golden), views(reference, golden)
    for side in ("forget", "retain"):
        theirs = expected[f"KL_{side}"]["answer_predicting_positions_only"]
        assert KL()(now[side], before[side]).item() == pytest.approx(theirs, rel=1e-4)


@torch.no_grad()
def test_sums_of_every_row(policy: tuple[str, LM], golden: Path) -> None:
    name, lm = policy
    expected = json.loads((golden / POLICIES[name][3]).read_text())["components"]
    found = views(lm, golden)
    rows = {"forget": found["forget"], "retain": found["retain"], "alternate": found["forget"].instead}
    for side, view in rows.items():
        tokens = expected[side]["label_tokens_per_row"]
        assert view.lengths.tolist() == tokens
        theirs = [s / n for s, n in zip(expected[side]["policy_sum_nll_per_row"], tokens, strict=True)]
        assert (-view.means).tolist() == pytest.approx(theirs, rel=1e-4, abs=5e-6)
        assert NLL()(view, view).item() == pytest.approx(expected[side]["policy_token_mean_nll"], rel=1e-4, abs=5e-6)
