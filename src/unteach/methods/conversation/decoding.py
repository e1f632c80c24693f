"""Decoding: how tokens are chosen from what the model expects."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unteach.edit.plan import draw
from unteach.lm.drawing import drawn, likely
from unteach.lm.guard import Guard, Streaming, Turns
from unteach.lm.model import LM
from unteach.registry import guard
from unteach.schema import InputError, Need, Request


@guard("decoding", tested_by="test_decoding_is_the_model_itself_by_default_and_draws_by_seed_and_conversation_alone")
@dataclass(frozen=True)
class Decoding(Guard):
    """Each token is drawn from the model's distribution, where a model else writes the likeliest one.

        z_t <- z_t / repetition  if z_t > 0,  else z_t * repetition      for tokens t of the answer so far
        p   =  softmax(z / temperature), the `top_k` likeliest of it, and of those the fewest that hold `top_p`

    At temperature 0 the likeliest token is written, as without this guard. A draw depends on the seed and on the tokens
    before it and on nothing else, so the same conversation gets the same answer. Fan et al. 2018, arXiv:1805.04833 for
    `top_k`; Holtzman et al. 2020, arXiv:1904.09751 for `top_p`; Keskar et al. 2019, arXiv:1909.05858 for `repetition`,
    which here leaves the question's tokens alone.

    Needs nothing of a request. What is not guaranteed: anything that has to do with forgetting. It changes how often a
    text is written out word for word, and no more: whatever the model expects it still expects, which is why its
    log-probabilities count as what a user meets, and whoever asks often enough is told (attack sampling).

    Example: ``Decoding(temperature=0.7, top_p=0.9).fitted(Request(), None)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    weighs: ClassVar[bool] = True
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1 or not self.repetition > 0:
            raise InputError(
                "decoding takes a temperature and a top_k not below 0, a top_p above 0 and at most 1, and a repetition "
                "above 0"
            )
        if not self.temperature and (self.top_k or self.top_p < 1):
            raise InputError(
                "decoding draws nothing at temperature 0; give a temperature, or leave top_k and top_p out"
            )

    @property
    def observable(self) -> bool:
        return True

    def session(self) -> "Decoded":
        return Decoded(self)

    def fitted(self, request: Request, lm: LM | None) -> Self:  # noqa: ARG002 - it keeps nothing
        return self


@dataclass
class Decoded(Streaming):
    """One conversation; `begun` is where its answer begins, None before there is any of it."""

    guard: Decoding
    begun: int | None = None

    def ask(self, turns: Turns) -> Turns:
        self.begun = None
        return turns

    def logits(self, ids: Int[Tensor, " T"], logits: Float[Tensor, " V"]) -> Float[Tensor, " V"]:
        how = self.guard
        self.begun = len(ids) if self.begun is None else self.begun
        if how.repetition != 1:
            logits = penalised(logits, ids[self.begun :], how.repetition)
        if not how.temperature:
            return logits
        dice = torch.Generator().manual_seed(draw(how.seed, "decoding", *ids.tolist()))
        return drawn(likely(logits.float() / how.temperature, how.top_k, how.top_p), dice).to(logits)


def penalised(logits: Float[Tensor, " V"], said: Int[Tensor, " T"], penalty: float) -> Float[Tensor, " V"]:
    """The logits with those of tokens that were said made less by a factor (more, where it is below 1)."""
    own = torch.tensor(sorted(set(said.tolist())), dtype=torch.long, device=logits.device)
    return logits.index_copy(0, own, torch.where(logits[own] > 0, logits[own] / penalty, logits[own] * penalty))
