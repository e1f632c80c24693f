"""The formula sheet: an objective is its formula and its citation.

s = log-probability of a whole answer under the model now, s' under the model before; n = its tokens; all sums
run over answer tokens only. Each class says what it reads (`needs`), which retain term it was published with
(`retain`, empty for none), with which weight the forget term enters beside it (`weight`), and whether it makes
a model forget its rows or keep them (`role`).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor
from torch.nn.functional import kl_div, logsigmoid

from unteach.lm.view import View
from unteach.registry import objective
from unteach.schema import Need

Role = Literal["forget", "retain"]


class Objective(Protocol):
    """A scalar to minimise, from the model now and the model before on the same rows."""

    needs: ClassVar[frozenset[Need]]
    role: ClassVar[Role]
    retain: ClassVar[str]
    weight: ClassVar[float]

    def __call__(self, now: View, before: View, /) -> Tensor: ...


@objective("nll", tested_by="test_nll_is_the_models_own_loss")
@dataclass(frozen=True)
class NLL:
    """Keep an answer: mean negative log-probability of its tokens, -sum(s) / sum(n). The usual retain term.

    Reference: maximum likelihood, as in any training of a language model.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    role: ClassVar[Role] = "retain"
    retain: ClassVar[str] = ""
    weight: ClassVar[float] = 1.0

    def __call__(self, now: View, _before: View) -> Tensor:
        return -now.token_logps.mean()


@objective("kl", tested_by="test_kl_and_its_gradient_vanish_at_the_reference")
@dataclass(frozen=True)
class KL:
    """Keep a whole distribution: KL(before || now) in nats, averaged over answer tokens. A retain term.

    Maini et al. 2024, arXiv:2401.06121, who average over prompt and padding too.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "reference_logits"})
    role: ClassVar[Role] = "retain"
    retain: ClassVar[str] = ""
    weight: ClassVar[float] = 1.0

    def __call__(self, now: View, before: View) -> Tensor:
        past = before.logits.detach().log_softmax(-1)
        return kl_div(now.logits.log_softmax(-1), past, reduction="sum", log_target=True) / len(past)


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


@objective("npo", tested_by="test_npo_at_the_reference_is_sequence_ascent")
@dataclass(frozen=True)
class NPO:
    """Push an answer below where it was, ever more gently: -(2/beta) mean log sigmoid(-beta (s - s')).

    Zhang et al. 2024, arXiv:2404.05868. Its gradient is that of ascent on s at the start and dies out as s
    falls; a large `beta` dies out early.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "reference"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0
    beta: float = 0.1

    def __call__(self, now: View, before: View) -> Tensor:
        return -2 / self.beta * logsigmoid(-self.beta * (now.sums - before.sums)).mean()


@objective("simnpo", tested_by="test_simnpo_for_small_beta_is_mean_ascent")
@dataclass(frozen=True)
class SimNPO:
    """NPO without a reference, normalised by length: -(2/beta) mean log sigmoid(-beta s/n - margin).

    Fan et al. 2024, arXiv:2410.07163. The defaults are those for TOFU forget10; `margin` is the paper's
    (their code multiplies it by beta).
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 0.125
    beta: float = 4.5
    margin: float = 0.0

    def __call__(self, now: View, _before: View) -> Tensor:
        return -2 / self.beta * logsigmoid(-self.beta * now.means - self.margin).mean()


@objective("idk", tested_by="test_idk_is_nll_of_the_replacement")
@dataclass(frozen=True)
class IDK:
    """Learn to answer that one does not know: the NLL of a replacement answer.

    Maini et al. 2024, arXiv:2401.06121. The old answer is not pushed down; rephrasing may bring it back.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"instead"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0

    def __call__(self, now: View, _before: View) -> Tensor:
        return -now.instead.token_logps.mean()


@objective("dpo", tested_by="test_dpo_without_its_winner_is_npo")
@dataclass(frozen=True)
class DPO:
    """Prefer a replacement answer w to the old one: -(2/beta) mean log sigmoid(beta ((s_w - s_w') - (s - s'))).

    Rafailov et al. 2023, arXiv:2305.18290, with the factor 2/beta of Zhang et al. 2024, arXiv:2404.05868.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "instead", "reference"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0
    beta: float = 0.1

    def __call__(self, now: View, before: View) -> Tensor:
        won = now.instead.sums - before.instead.sums
        return -2 / self.beta * logsigmoid(self.beta * (won - (now.sums - before.sums))).mean()
