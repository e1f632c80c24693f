"""Towards another distribution over the next token: the model's own without the answer, anything but before, a flat one."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import kl_div

from unteach.lm.view import View
from unteach.methods.finetune.objectives import Role
from unteach.registry import objective
from unteach.schema import Need


@objective("undial", tested_by="test_undial_lowers_the_answer_by_beta_and_nothing_else")
@dataclass(frozen=True)
class UNDIAL:
    """Learn what the model before said, with the answer's logit lowered: cross-entropy to softmax(z' - beta onehot(y)).

    Dong et al. 2024, arXiv:2402.10052. The target gives y the probability p' e^-beta / (p' e^-beta + 1 - p'). At answer
    tokens only.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "reference_logits"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = ""
    weight: ClassVar[float] = 1.0
    beta: float = 10.0

    def __call__(self, now: View, before: View) -> Tensor:
        past = before.logits.detach()
        goal = past.scatter_add(1, now.targets[:, None], past.new_full((len(past), 1), -self.beta)).softmax(-1)
        return -(goal * now.logits.log_softmax(-1)).sum() / len(past)


@objective("scrub", tested_by="test_scrub_is_minus_kl_and_vanishes_at_the_reference")
@dataclass(frozen=True)
class SCRUB:
    """Move away from what the model before said: -T^2 KL(softmax(z'/T) || softmax(z/T)), mean over answer tokens.

    Kurmanji et al. 2023, arXiv:2302.09880: epochs on the forget rows and epochs on the retain rows take turns, the
    retain rows last. Unbounded; at the reference its gradient is 0, so that the retain rows have to move the model
    first.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "reference_logits"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0
    turns: ClassVar[bool] = True
    temperature: float = 4.0

    def __call__(self, now: View, before: View) -> Tensor:
        past = (before.logits.detach() / self.temperature).log_softmax(-1)
        ours = (now.logits / self.temperature).log_softmax(-1)
        return -(self.temperature**2) * kl_div(ours, past, reduction="sum", log_target=True) / len(past)


@objective("randomlabels", tested_by="test_randomlabels_is_least_where_every_token_is_equally_likely")
@dataclass(frozen=True)
class RandomLabels:
    """Learn labels drawn at random: the mean of -log p over the vocabulary.

    That is what drawing one label a token estimates. Golatkar et al. 2020, arXiv:1911.04933, and the first NeurIPS
    unlearning challenge of 2023. Its least value is ln V, where every token is equally likely; a retrained model is
    not there.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0

    def __call__(self, now: View, _before: View) -> Tensor:
        return -now.logits.log_softmax(-1).mean(-1).mean()


@objective("pdu", tested_by="test_pdu_vanishes_on_flat_logits_and_its_weight_follows_the_constraint")
@dataclass(frozen=True)
class PDU:
    """Flatten the logits while the retain loss stays under a bound: mean over answer tokens of (max z - mean z)^2.

    Entesari et al. 2025, arXiv:2506.05314. The weight of the retain term is a dual variable: it begins at
    `retain_weight` and grows by `step` times (retain loss - `bound`) at each batch, never below 0.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0
    bound: float = 0.3
    step: float = 1.0

    def __call__(self, now: View, _before: View) -> Tensor:
        return (now.logits.amax(-1) - now.logits.mean(-1)).square().mean()

    def dual(self, weight: float, loss: float) -> float:
        """The retain term's next weight, from its weight and its value at this step."""
        return max(0.0, weight + self.step * (loss - self.bound))
