"""Answers drawn instead of the likeliest."""

from dataclasses import dataclass
from typing import ClassVar

from unteach.audit.attacks.asking import given_away, replies, tried
from unteach.audit.target import Attempt, Holds, Target
from unteach.edit.plan import draw
from unteach.lm.drawing import Drawing
from unteach.registry import attack
from unteach.schema import InputError, Need


@attack("sampling", tested_by="test_sampling_brings_back_what_is_only_second_likeliest")
@dataclass(frozen=True)
class Sampling:
    """Does the answer come up when the model is asked again and again?

    The attacker holds questions and asks each `samples` times, as anybody does who presses the button again. Each token
    is drawn at a temperature by argmax(logits / temperature + G), G standard Gumbel noise: that is a draw from the
    softmax. The noise depends on the seed, the row, the draw and the step alone. Guards come first, and what they
    forbid is not drawn. Of each row the best draw counts; the curve is over their number, the mean of all is in the
    note. Scholten et al. 2024, arXiv:2410.03523; Maddison et al. 2014, arXiv:1411.0030 for the draw.

    The best of many draws has luck in it, the more the fewer words tell: compare with the retrained model.
    """

    holds: ClassVar[Holds] = "questions"
    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "generation", "weights"})
    measure: ClassVar[str] = "told"
    axis: ClassVar[str] = "answers drawn"
    samples: int = 20
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError("option 'samples' of sampling must be at least 1")
        if not self.temperature > 0:
            raise InputError("option 'temperature' of sampling must be greater than 0")

    def __call__(self, target: Target, /) -> Attempt:
        tries = [given_away(target, _drawn(target, self.temperature, number)) for number in range(self.samples)]
        return tried(tries, f"{self.samples} answers drawn at temperature {self.temperature:g}")


def _drawn(target: Target, temperature: float, number: int) -> list[str | None]:
    """One answer to each row; the guard that draws is the last, for as long as this takes."""
    seeds = (draw(target.seed, "sampling", record.id, number) for record in target.forget)
    target.lm.guards.append(Drawing(temperature, seeds))
    try:
        return replies(target, target.forget)
    finally:
        target.lm.guards.pop()
