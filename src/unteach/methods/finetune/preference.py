"""Answers against answers: preferences without a winner, with one, and replacement answers learned by themselves."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from unteach.lm.view import View
from unteach.methods.finetune.objectives import Role
from unteach.registry import objective
from unteach.schema import Need


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


@objective("simpo", tested_by="test_simpo_turns_its_sign_when_winner_and_loser_change_places")
@dataclass(frozen=True)
class SimPO:
    """Prefer a replacement answer w by mean log-probability: -mean log sigmoid(beta (s_w/n_w - s/n) - margin).

    Meng et al. 2024, arXiv:2405.14734, with the forget answer as the loser. Their code calls margin / beta
    `gamma_beta_ratio`; the default is its 0.25.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "instead"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0
    beta: float = 2.0
    margin: float = 0.5

    def __call__(self, now: View, _before: View) -> Tensor:
        return -logsigmoid(self.beta * (now.instead.means - now.means) - self.margin).mean()


@objective("yao", tested_by="test_yao_without_mismatch_is_ascent_on_means")
@dataclass(frozen=True)
class Yao:
    """Climb the answer's loss while learning answers that belong to other questions.

    ascent * mean(s/n) - mismatch * mean over pairs of (question, answer of another row) of s/n. Yao et al. 2023,
    arXiv:2310.10683, whose third term is KL on normal rows. The other answers are those of rows to keep, five a
    question, the same for all questions of an epoch, never a question's own.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "mismatched"})
    role: ClassVar[Role] = "forget"
    retain: ClassVar[str] = "kl"
    weight: ClassVar[float] = 1.0
    ascent: float = 0.5
    mismatch: float = 1.0

    def __call__(self, now: View, _before: View) -> Tensor:
        return self.ascent * now.means.mean() - self.mismatch * now.instead.means.mean()
