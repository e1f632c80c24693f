"""The formula sheet, first leaf: what an objective is, and the terms that keep.

An objective is its formula and its citation. s = log-probability of a whole answer under the model now, s' under
the model before; n = its tokens; p, p' = probability of one of them; all sums run over answer tokens only. Each
class says what it reads (`needs`), which retain term it was published with (`retain`, empty for none), with which
weight the forget term enters beside it (`weight`), and whether it makes a model forget its rows or keep them
(`role`).

The other leaves: `ascent` (climbing the loss, weighted), `preference` (answers against answers), `distillation`
(towards another distribution), `representation` (hidden states).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor
from torch.nn.functional import kl_div

from unteach.lm.view import View
from unteach.registry import objective
from unteach.schema import Need

Role = Literal["forget", "retain"]


class Objective(Protocol):
    """A scalar to minimise, from the model now and the model before on the same rows.

    An objective may also have: `turns = True` (forget and retain rows take turns, an epoch of each),
    `tune(layers)` (what it was published to train), `dual(weight, loss)` (the retain term's next weight, from its weight
    and value at this step), and `factors(done)` (what the weights of the two terms are multiplied by when this share of
    the training is done).
    """

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


@objective("anchor", tested_by="test_rmu_moves_states_to_its_vector_and_holds_the_others")
@dataclass(frozen=True)
class Anchor:
    """Keep the states after a block: the mean squared distance to what they were. RMU's retain term.

    Li et al. 2024, arXiv:2403.03218. Mean over the coordinates of a state, over the answer tokens of a row, over rows.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "hidden"})
    role: ClassVar[Role] = "retain"
    retain: ClassVar[str] = ""
    weight: ClassVar[float] = 1.0
    layer: float = 7 / 32

    def __call__(self, now: View, before: View) -> Tensor:
        gap = now.hidden(self.layer) - before.hidden(self.layer).detach()
        return now.row_means(gap.square().mean(-1)).mean()
