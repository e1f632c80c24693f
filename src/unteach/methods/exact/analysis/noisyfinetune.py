"""Noise until the start no longer matters, then learning what is to stay: certified, and dear."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, isfinite, log, sqrt
from typing import ClassVar

import torch
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import Put, through
from unteach.edit.plan import Plan, draw
from unteach.edit.trainable import trainable
from unteach.lm.model import LM
from unteach.lm.view import View
from unteach.methods.exact.analysis.fisher import noise
from unteach.methods.exact.analysis.subspace import both
from unteach.methods.exact.guarantees import indistinguishable
from unteach.registry import method
from unteach.schema import Guarantee, GuaranteeKind, InputError, Need, Record, Request

ASSUMPTIONS = (
    "an experimental method; the weights outside those that were trained never depended on the rows; training without "
    "them is followed by the same noisy steps; the noise is known to nobody, and its pseudo-random numbers, "
    "rounded to floats, are as good as normal ones; the records to keep were chosen without looking at the rows."
)
UNKEYED = (
    "The noise was drawn from a number that is no secret, so that no bound holds; set 'secret' for one. What is left "
    "was not bounded: measure it."
)


@method("noisyfinetune", tested_by="test_the_noise_meets_its_budget_by_an_accountant_that_goes_step_by_step")
@dataclass(frozen=True)
class NoisyFinetune:
    """Shrink the weights, take clipped noisy steps on retain rows alone, then fine-tune on them without noise.

        w_0 = clip(w, C0),   w_t+1 = w_t - eta clip(g_t, C1) + N(0, s^2),   t < T = ceil(C0 / (C1 eta))
        s^2 = 2 (C0 + C1 eta T)^2 / (T rho),   epsilon = rho + 2 sqrt(rho ln(1 / delta))

    Two starts are at most 2 C0 apart, and a step adds at most 2 C1 eta; the noise hides a T-th of it all in each step, so
    that what comes out is rho-concentrated whatever the loss is: Koloskova et al. 2025, arXiv:2506.06985, by the shifted
    divergences of Feldman et al. 2018, arXiv:1808.06651. Weights are measured from 0, gains of norms from 1. `trained`
    says into which weights the rows may have gone (full, or layers such as 3-5): all of those are noised.

    Certified only with `secret` noise, which nobody can draw again, and experimental: the noise on each weight is as
    large as C0, the length of all weights together, so that next to nothing of the model is left, and `plan` must teach
    it anew from the retain rows. It pays where the rows went into few weights. Needs forget and retain rows; forget rows
    are never looked at.

    Example: ``NoisyFinetune(trained="3-5", epsilon=4.0, secret=True)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "retain"})
    guarantee: ClassVar[GuaranteeKind] = "certified"
    makes_adapter: ClassVar[bool] = False
    trained: str = "full"
    epsilon: float = 8.0
    delta: float = 1e-5
    bound: float = 0.01
    clip: float = 1.0
    lr: float = 1e-3
    batch_size: int = 8
    secret: bool = False
    plan: Plan = field(default_factory=lambda: Plan(tune="full", epochs=30, lr=1e-3))

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and 0 < self.delta < 1):
            raise InputError("noisyfinetune wants 'epsilon' above 0, and 'delta' between 0 and 1")
        if not (self.bound > 0 and self.clip > 0 and self.lr > 0 and self.batch_size > 0):
            raise InputError("noisyfinetune wants 'bound', 'clip', 'lr' and 'batch_size' above 0")
        if self.trained.startswith("lora"):
            raise InputError("noisyfinetune noises the weights themselves; give 'trained' as full, or as layers")

    @property
    def steps(self) -> int:
        """T, as many as cost the least noise."""
        return ceil(self.bound / (self.clip * self.lr) - 1e-9)

    @property
    def scale(self) -> float:
        """The standard deviation of the noise of one step."""
        return (self.bound + self.clip * self.lr * self.steps) * sqrt(
            2 / (self.steps * allowed(self.epsilon, self.delta))
        )

    def __call__(self, lm: LM, request: Request) -> Edit:
        both(request, "noisyfinetune")
        if lm.adapter is not None or lm.worn:
            raise InputError("the rows may have gone into what the model wears, which is not noised; bake it in first")
        with lm.lock, trainable(lm, Plan(tune=self.trained)) as parts:
            weights = self._noised(lm, {n: p.detach() for n, p in parts.parameters.items()}, request.retain)
        noised = Edit(lm.digest(), {n: (Put(w),) for n, w in weights.items()}, made_by=str(self))
        plan = replace(self.plan, tune="full") if self.plan.lora else self.plan
        with noised.on(lm):
            taught = learn(lm, request.retain, plan)
        found = {n: w.detach() for n, w in lm.parameters().items()}
        chains = {n: (*noised.weights.get(n, ()), *taught.weights.get(n, ())) for n in found}
        put = {n: (Put(through(chain, found[n])),) for n, chain in chains.items() if chain}
        return Edit(lm.digest(), put, made_by=str(self), guarantee=self._promise())

    def _noised(self, lm: LM, weights: Mapping[str, Tensor], rows: Sequence[Record]) -> dict[str, Tensor]:
        centre = {n: torch.full_like(w, w.dim() == 1 and n.endswith("weight")).float() for n, w in weights.items()}
        apart = clipped({n: w.float() - centre[n] for n, w in weights.items()}, self.bound)
        now = {n: centre[n] + a for n, a in apart.items()}
        key = secrets.token_hex(16) if self.secret else self.plan.seed
        for step in range(self.steps):
            order = sorted(rows, key=lambda r: draw(self.plan.seed, "noisyfinetune", step, r.id))
            slope = clipped(_slope(lm, order[: self.batch_size], now, weights), self.clip)
            for name, w in now.items():
                drawn = noise(w, draw(key, "noisyfinetune", step, name))
                now[name] = w - self.lr * slope[name] + self.scale * drawn
        return {n: w.to(weights[n].dtype) for n, w in now.items()}

    def _promise(self) -> Guarantee:
        numbers = {
            "epsilon": self.epsilon, "delta": self.delta, "rho": allowed(self.epsilon, self.delta),
            "scale": self.scale, "steps": float(self.steps), "bound": self.bound, "clip": self.clip, "lr": self.lr,
        }  # fmt: skip
        if self.secret:
            return indistinguishable("the edited model", numbers, ASSUMPTIONS)
        return Guarantee("empirical", claim=UNKEYED)


def allowed(epsilon: float, delta: float) -> float:
    """The rho of concentrated privacy with rho + 2 sqrt(rho ln(1 / delta)) = epsilon."""
    return (sqrt(log(1 / delta) + epsilon) - sqrt(log(1 / delta))) ** 2


def clipped(parts: Mapping[str, Tensor], most: float) -> dict[str, Tensor]:
    """All of them as one vector, made shorter where it is longer than `most`."""
    length = float(torch.stack([t.double().norm().cpu() for t in parts.values()]).norm())
    if not isfinite(length):
        raise InputError("a weight or a gradient is no finite number; check the model and the records to keep")
    return {n: t * min(1.0, most / max(length, 1e-30)) for n, t in parts.items()}


def _slope(lm: LM, rows: Sequence[Record], now: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    leaves = {n: w.to(like[n].dtype).requires_grad_() for n, w in now.items()}
    with torch.enable_grad():
        lost = -View(lm.run(lm.batch(rows), leaves), slice(0, len(rows))).means.mean()
        found = torch.autograd.grad(lost, [*leaves.values()])
    return {n: g.float() for n, g in zip(leaves, found, strict=True)}
