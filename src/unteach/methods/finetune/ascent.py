"""Climbing the loss of the forget answers, token by token: plain, weighted, selected, tempered."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from unteach.lm.view import View
from unteach.methods.finetune.objectives import Role
from unteach.registry import objective
from unteach.schema import InputError, Need


@objective("ga", tested_by="test_ga_is_minus_nll")
@dataclass(frozen=True)
class GA:
    """Climb the loss of an answer: sum(s) / sum(n), without bound and without a retain term.

    Jang et al. 2023, arXiv:2210.01504. With the retain NLL beside it, it is `graddiff`.
    Unbounded: it destroys a model when it goes on for long.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = ""
    weight: ClassVar[float] = 1.0

    def __call__(self, now: View, _before: View) -> Tensor:
        return now.token_logps.mean()


@objective("wga", tested_by="test_wga_without_weights_is_ascent")
@dataclass(frozen=True)
class WGA:
    """Ascent that leaves alone what is unlikely already: mean over tokens of [p^beta] log p.

    Wang et al. 2025, arXiv:2502.19301; weights in brackets are constants of the step. With `beta` 0 it is `ga`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0
    beta: float = 1.0

    def __call__(self, now: View, _before: View) -> Tensor:
        logps = now.token_logps
        return ((self.beta * logps.detach()).exp() * logps).mean()


@objective("tnpo", tested_by="test_tnpo_weighs_every_token_one_at_the_reference")
@dataclass(frozen=True)
class TNPO:
    """NPO's weights, token by token: mean over tokens of [2 p^beta / (p^beta + p'^beta)] log p.

    Wang et al. 2025, arXiv:2502.19301. At the reference every weight is 1 and it is `ga`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "reference"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0
    beta: float = 4.0

    def __call__(self, now: View, before: View) -> Tensor:
        return (_against(now, before, self.beta) * now.token_logps).mean()


@objective("wtnpo", tested_by="test_wtnpo_is_tnpo_times_a_power_of_the_probability")
@dataclass(frozen=True)
class WTNPO:
    """TNPO that leaves alone what is unlikely: mean over tokens of [2 p^(beta + alpha) / (p^beta + p'^beta)] log p.

    Wang et al. 2025, arXiv:2502.19301. With `alpha` 0 it is `tnpo`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "reference"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0
    beta: float = 4.0
    alpha: float = 1.5

    def __call__(self, now: View, before: View) -> Tensor:
        logps = now.token_logps
        return (_against(now, before, self.beta) * (self.alpha * logps.detach()).exp() * logps).mean()


@objective("satimp", tested_by="test_satimp_weighs_saturation_and_importance")
@dataclass(frozen=True)
class SatImp:
    """Ascent on what is known but not yet certain: mean over tokens of [p^beta1 (1 - p)^beta2] log p.

    Yang et al. 2025, arXiv:2505.11953. `beta1` spares saturated tokens, `beta2` those that carry little.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 0.1
    beta1: float = 5.0
    beta2: float = 1.0

    def __call__(self, now: View, _before: View) -> Tensor:
        logps = now.token_logps
        p = logps.detach().exp()
        return (p**self.beta1 * (1 - p).clamp_min(0) ** self.beta2 * logps).mean()


@objective("gals", tested_by="test_gals_over_all_tokens_is_mean_ascent")
@dataclass(frozen=True)
class GALS:
    """Ascent on the best-known tokens: the mean log p of the floor(share n) likeliest tokens of every answer.

    Wang et al. 2025, "Unlearning with Control", arXiv:2406.09179 (loss selection). At least one token of an answer is
    kept; with `share` 1 it is `ga`. Ties go to the earlier token.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "kl"
    weight: ClassVar[float] = 1.0
    share: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError("option 'share' of gals is a share of an answer's tokens; choose it above 0, at most 1")

    def __call__(self, now: View, _before: View) -> Tensor:
        answers = torch.split(now.token_logps, now.lengths.tolist())
        kept = [
            a[a.detach().sort(descending=True, stable=True).indices[: max(1, int(self.share * len(a)))]]
            for a in answers
        ]
        return torch.cat(kept).mean()


@objective("gatemp", tested_by="test_gatemp_at_temperature_one_is_ascent")
@dataclass(frozen=True)
class GATemp:
    """Ascent at a temperature: mean over tokens of log softmax(z / tau) at the answer's token.

    Wang et al. 2025, "Unlearning with Control", arXiv:2406.09179. With `tau` 1 it is `ga`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "kl"
    weight: ClassVar[float] = 1.0
    tau: float = 2.0

    def __call__(self, now: View, _before: View) -> Tensor:
        return -cross_entropy(now.logits / self.tau, now.targets)


@objective("ceu", tested_by="test_ceu_takes_the_models_own_choice_without_the_answer")
@dataclass(frozen=True)
class CEU:
    """Learn one's own distribution without the answer's token: cross-entropy to [softmax of z with z_y = -inf].

    Yang 2025, arXiv:2503.01224. The first `skip` tokens of each answer are left alone. Bounded below, so it needs no
    retain term to stay finite.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = ""
    weight: ClassVar[float] = 1.0
    skip: int = 1

    def __call__(self, now: View, _before: View) -> Tensor:
        starts = now.lengths.cumsum(0) - now.lengths
        place = torch.arange(len(now.targets), device=now.targets.device) - starts[now.rows]
        kept = place >= self.skip
        logits = now.logits[kept]
        others = logits.detach().scatter(1, now.targets[kept][:, None], -torch.inf).softmax(-1)
        return -(others * logits.log_softmax(-1)).sum() / kept.sum().clamp_min(1)


def _against(now: View, before: View, beta: float) -> Tensor:
    """2 p^beta / (p^beta + p'^beta) of each token, a constant of the step."""
    return 2 * torch.sigmoid(beta * (now.token_logps.detach() - before.token_logps.detach()))
