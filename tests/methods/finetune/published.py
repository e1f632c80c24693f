"""What open-unlearning (locuslab, commit d3d7cf9) was given, and how its losses are composed.

A term is one of our objectives wherever its definition is the one that the method was published with. Where it is
another, theirs is written here from the padded batch: so that their number is reproduced, and what it is made of.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

from unteach.lm.encoder import Template
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.lm.trace import tapped
from unteach.lm.view import View
from unteach.methods.finetune.ascent import CEU, GA, WGA, SatImp
from unteach.methods.finetune.objectives import NLL
from unteach.methods.finetune.preference import DPO, NPO, SimNPO
from unteach.methods.finetune.representation import RMU
from unteach.schema import Record

ROWS = slice(0, 8)
POLICIES = {  # how far from the reference, drawn from which seed, the digest of the weights, the file of their numbers
    "perturbed": (0.01, 0, "f0068266340672a3", "losses.json"),
    "perturbed05": (0.05, 1, "49dcc71c6eb00d05", "losses_sigma0.05.json"),
}


@dataclass(frozen=True)
class Side:
    """Rows padded on the right; `labels` are -100 outside of the answers."""

    ids: Tensor
    real: Tensor
    labels: Tensor

    def logits(self, model: Any) -> Tensor:
        found: Tensor = model(input_ids=self.ids, attention_mask=self.real).logits
        return found

    def states(self, model: Any, block: int) -> Tensor:
        """(B, T, D): what a block puts out."""
        caught: list[Tensor] = []
        with tapped(model, f"model.layers.{block}", caught.append):
            self.logits(model)
        return caught[0]


@dataclass(frozen=True)
class Seen:
    """One model on the golden batch: our views of it, and the model itself for what is computed with padding."""

    model: Any
    sides: Mapping[str, Side]
    forget: View
    retain: View


@contextmanager
def noted() -> Iterator[list[float]]:
    """The norms of the gradients that a training clips, before it clips them."""
    clip, norms = Accelerator.clip_grad_norm_, []

    def noting(self: Accelerator, parameters: Any, most: float) -> Tensor:
        found: Tensor = clip(self, parameters, most)
        norms.append(found.item())
        return found

    with patch.object(Accelerator, "clip_grad_norm_", noting):
        yield norms


@torch.no_grad()
def said(lm: LM, rows: Sequence[Record]) -> float:
    """The negative log-probability of the answers, mean over their tokens."""
    view = View(lm.run(lm.batch(rows)), slice(0, len(rows)))
    return NLL()(view, view).item()


def copied(lm: LM, precision: torch.dtype = torch.float32) -> LM:
    return LM(deepcopy(lm.model).to(precision), lm.tokenizer, template=lm.template)


@dataclass(frozen=True)
class Golden:
    """The folder of golden numbers."""

    folder: Path

    def read(self, name: str) -> Any:
        return json.loads((self.folder / "open_unlearning" / name).read_text(encoding="utf-8"))

    @cached_property
    def reference(self) -> LM:
        return load(self.folder / "tiny_tofu_llama", template=Template("[INST] {prompt} [/INST]{answer}"))

    def policy(self, name: str) -> LM:
        """The reference after a step at random, by the recipe of the golden numbers."""
        sigma, seed, digest, _ = POLICIES[name]
        found = copied(self.reference)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            state = {n: t for n, t in found.model.state_dict().items() if n != "lm_head.weight"}
            for tensor in state.values():
                tensor.add_(sigma * torch.randn_like(tensor))
        sha = sha256()
        for n in sorted(state):
            sha.update(n.encode() + state[n].numpy().tobytes())
        assert sha.hexdigest().startswith(digest)
        return found

    @cached_property
    def sides(self) -> dict[str, Side]:
        given = self.read("batch.json")
        names = ("input_ids", "attention_mask", "labels")
        return {side: Side(*(torch.tensor(given[side][n]) for n in names)) for side in self.records}

    @cached_property
    def records(self) -> dict[str, list[Record]]:
        given = self.read("batch.json")
        texts = {side: [(t["question"], t["answer"]) for t in given["texts"][side]] for side in ("forget", "retain")}
        texts["alternate"] = [(q, a) for (q, _), a in zip(texts["forget"], given["alternate_texts"], strict=True)]
        return {side: [Record(str(i), *row) for i, row in enumerate(rows)] for side, rows in texts.items()}

    @cached_property
    def before(self) -> Seen:
        """The reference, asked once."""
        found = self.seen(self.reference)
        with torch.no_grad():
            _ = found.forget.logits, found.forget.instead.logits, found.retain.logits
        return found

    def seen(self, lm: LM) -> Seen:
        runs = {side: lm.run(lm.batch(rows)) for side, rows in self.records.items()}
        forget = View(runs["forget"], ROWS, instead=View(runs["alternate"], ROWS))
        return Seen(lm.model, self.sides, forget, View(runs["retain"], ROWS))


Args = Mapping[str, Any]
Term = Callable[[Seen, Seen, Args], Tensor]


def kl_of_all(now: Seen, before: Seen, _args: Args) -> Tensor:
    """KL averaged over every position of the retain batch, prompts and padding with them."""
    side = now.sides["retain"]
    with torch.no_grad():
        past = side.logits(before.model).log_softmax(-1)
    gaps = past.exp() * (past - side.logits(now.model).log_softmax(-1))
    return gaps.sum() / side.ids.numel()


def undial_of_all(now: Seen, before: Seen, args: Args) -> Tensor:
    """UNDIAL averaged over every position, where the label -100 lowers entry V - 100 of the vocabulary."""
    side = now.sides["forget"]
    labels = side.labels[:, 1:, None]
    with torch.no_grad():
        past = side.logits(before.model)[:, :-1]
        width = past.shape[-1]
        lowered = past - args["beta"] * (torch.arange(width) == labels.remainder(width))
    return -(lowered.softmax(-1) * side.logits(now.model)[:, :-1].log_softmax(-1)).sum(-1).mean()


def spread_unshifted(now: Seen, _before: Seen, _args: Args) -> Tensor:
    """PDU's (max z - mean z)^2 at the answer tokens themselves, one position after those that predict them."""
    side = now.sides["forget"]
    logits = side.logits(now.model)[side.labels >= 0]
    return (logits.amax(-1) - logits.mean(-1)).square().mean()


def crossed(gap: Tensor, side: Side) -> Tensor:
    """RMU's squared distance: the mean of rows' sums times the mean of rows' 1/n, at the answer tokens themselves."""
    counted = side.labels >= 0
    return (gap.square().mean(-1) * counted).sum(1).mean() * (1 / counted.sum(1)).mean()


def block_of(args: Args) -> int:
    return int(args["module_regex"].rpartition(".")[2])


def rmu_crossed(now: Seen, _before: Seen, args: Args) -> Tensor:
    states = now.sides["forget"].states(now.model, block_of(args))
    return crossed(states - RMU(coefficient=args["steering_coeff"]).vector(states), now.sides["forget"])


def anchor_crossed(now: Seen, before: Seen, args: Args) -> Tensor:
    side = now.sides["retain"]
    with torch.no_grad():
        past = side.states(before.model, block_of(args))
    return crossed(side.states(now.model, block_of(args)) - past, side)


FORGET: dict[str, Term] = {
    "GradAscent": lambda now, before, _: GA()(now.forget, before.forget),
    "GradDiff": lambda now, before, _: GA()(now.forget, before.forget),
    "NPO": lambda now, before, args: NPO(args["beta"])(now.forget, before.forget),
    "SimNPO": lambda now, before, args: SimNPO(args["beta"], args["beta"] * args["delta"])(now.forget, before.forget),
    "DPO": lambda now, before, args: DPO(args["beta"])(now.forget, before.forget),
    "CEU": lambda now, before, args: CEU(args["ignore_first_n_answer_tokens"])(now.forget, before.forget),
    "WGA": lambda now, before, args: WGA(args["beta"])(now.forget, before.forget),
    "SatImp": lambda now, before, args: SatImp(args["beta1"], args["beta2"])(now.forget, before.forget),
    "RMU": rmu_crossed,
    "UNDIAL": undial_of_all,
    "PDU": spread_unshifted,
}
RETAIN: dict[str, Term] = {
    "NLL": lambda now, before, _: NLL()(now.retain, before.retain),
    "KL": kl_of_all,
    "EMBED_DIFF": anchor_crossed,
}


def composed(case: Mapping[str, Any], now: Seen, before: Seen, forget: Term | None = None) -> tuple[Tensor, Tensor]:
    """A case of theirs: the weighted forget term (another one, where it is given) and the plain retain term."""
    args = case["method_args"]
    pushed = args.get("gamma", 1.0) * (forget or FORGET[case["handler"]])(now, before, args)
    kept = RETAIN[args["retain_loss_type"]](now, before, args) if args.get("alpha") else torch.zeros(())
    return pushed, kept - args.get("retain_loss_eps", 0.0)


def sums_across(model: Any, side: Side) -> Tensor:
    """Log-probabilities of answers, where log-softmax runs along an axis that is not the last, as theirs does.

    There the 4096 terms are added one after another in single precision, which is coarser than along the last axis.
    """
    losses = cross_entropy(side.logits(model)[:, :-1].mT, side.labels[:, 1:], reduction="none")
    return -losses.sum(1)


def npo_across(now: Seen, before: Seen, args: Args) -> Tensor:
    with torch.no_grad():
        past = sums_across(before.model, now.sides["forget"])
    gap = sums_across(now.model, now.sides["forget"]) - past
    return -2 / args["beta"] * logsigmoid(-args["beta"] * gap).mean()


def simnpo_across(now: Seen, _before: Seen, args: Args) -> Tensor:
    side = now.sides["forget"]
    means = sums_across(now.model, side) / (side.labels >= 0).sum(1)
    return -2 / args["beta"] * logsigmoid(-args["beta"] * (means + args["delta"])).mean()


ACROSS: dict[str, Term] = {"NPO": npo_across, "SimNPO": simnpo_across}
